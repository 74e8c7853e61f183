"""The compiler's passes, one module each; `pipeline` puts them in order."""

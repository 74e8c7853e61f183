"""The command line, one module a command; it parses and prints, and computes nothing."""

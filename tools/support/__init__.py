"""Tiny networks of each format, one for each kind of layer, for the table of what is supported."""

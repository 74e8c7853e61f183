"""Benchmarks: one module a subject, run by `make bench`, and the page of their results."""

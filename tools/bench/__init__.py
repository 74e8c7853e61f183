"""Benchmarks: one module a subject, run by `make bench`."""

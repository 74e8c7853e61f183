"""A deployment compiler for Loihi-style neuromorphic chips."""

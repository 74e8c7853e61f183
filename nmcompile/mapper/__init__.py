"""The mapper: which neurons share a core, and where each core sits."""

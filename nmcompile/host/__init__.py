"""What runs off-chip: input encoding and read-out."""

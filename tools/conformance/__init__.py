"""Makes the conformance set: small Programs, one for each feature of the chip."""

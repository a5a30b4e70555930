"""The journal: append-only, hash-chained, signed; what was decided can be proved years later."""

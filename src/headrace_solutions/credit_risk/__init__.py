"""Credit risk: the ready-made use case, and public data to try it on."""

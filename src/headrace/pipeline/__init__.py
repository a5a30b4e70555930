"""The pipeline: a use case (a declaration), and `step`, the one function that decides."""

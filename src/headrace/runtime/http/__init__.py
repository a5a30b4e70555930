"""The HTTP service: requests through `step`, gathered into batches."""

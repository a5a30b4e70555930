"""Ready-made use cases, each built on the public API of Headrace alone."""

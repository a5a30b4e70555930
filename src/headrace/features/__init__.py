"""Features: what a user declares, and the plan that it compiles to."""

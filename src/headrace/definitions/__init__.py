"""Definitions: the language of features that users write, and the plan that it compiles to."""

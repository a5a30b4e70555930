"""Models: training by the field's libraries, and a scorer of our own with exact reasons."""

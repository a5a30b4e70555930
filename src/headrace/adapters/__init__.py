"""The outside world: files and streams that events come from, and decisions go to."""

"""Headrace: streams of financial events become decisions that are fast, explained and provable."""

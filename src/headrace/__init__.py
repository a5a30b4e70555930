"""Headrace: streams of financial events become decisions that are fast, explained and provable."""

__version__ = "0.1.0"

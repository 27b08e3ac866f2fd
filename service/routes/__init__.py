"""The HTTP calls."""

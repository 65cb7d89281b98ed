"""Overlays found by a model with the user's own weights."""

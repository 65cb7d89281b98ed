"""Translucent overlays: opacity and colour are measured, and the light that came through is given back."""

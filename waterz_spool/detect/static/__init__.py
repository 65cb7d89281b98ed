"""Overlays that stand still or jump while the picture moves, found without learned weights."""

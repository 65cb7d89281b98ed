"""Texture for what no frame ever shows: detail of the surroundings, the same in every frame of a shot."""

"""A job from its submission to its published result."""

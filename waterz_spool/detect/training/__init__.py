"""Pictures to train a model on, and the training."""

"""Averages of the checkpoints of one training, and averages kept while training."""

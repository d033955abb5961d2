"""What a training is asked to do, and what suits the model where nothing was said."""

"""Link types of this room."""
from comfy_api.v0_0_2 import io

Dataset = io.Custom("BOTTEGA_DATASET")
Shape = io.Custom("BOTTEGA_ADAPTER")
Critic = io.Custom("BOTTEGA_TRAINING_CRITIC")
Recipe = io.Custom("BOTTEGA_RECIPE")

"""Link types of this room."""
from comfy_api.v0_0_2 import io

Dataset = io.Custom("BOTTEGA_DATASET")
Recipe = io.Custom("BOTTEGA_RECIPE")

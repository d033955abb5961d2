"""A LoRA in a part of the picture: which tokens of which layer belong to a mask."""

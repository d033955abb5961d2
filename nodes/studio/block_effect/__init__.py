"""Block Effect: which groups of blocks of a LoRA do what, from pictures with them and without."""

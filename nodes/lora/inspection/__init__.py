"""What is seen of a LoRA before and after a run: in Inspect LoRA and in the editor of block weights."""

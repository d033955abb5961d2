"""What a run keeps on disk: states to continue from, and LoRA files."""

"""LoRA files as they are written: what goes in, under which names, and where."""

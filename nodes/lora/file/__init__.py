"""What stands in a LoRA file: tensors, the blocks that their names mean, and the host's patches they make."""

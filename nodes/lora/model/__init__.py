"""The host's model: its blocks, their parts, and what its weights are called."""

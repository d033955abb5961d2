"""Train with the Critic: a LoRA learns from what the critique says of its own pictures."""

"""Prompt Critic: a prompt is revised by a model that sees, and kept where the score rises."""

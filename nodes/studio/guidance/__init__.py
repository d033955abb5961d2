"""Critique Guidance: a sampler is moved up the gradient of a reward, step by step."""

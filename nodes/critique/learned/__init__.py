"""A learned score: a small head over the image embedding of the host's CLIP vision."""

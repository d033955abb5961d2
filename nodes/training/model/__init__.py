"""The host's model as something to be trained: which layers, and how a gradient passes through its code."""

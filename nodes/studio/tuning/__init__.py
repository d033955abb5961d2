"""Tune Blocks: the weights of groups of blocks that meet a rubric best, searched for."""

"""Pure tensor work that knows nothing of ComfyUI.

    merge              low-rank factors into weights, one rounding      triton/merge.py
    rounding           to the nearest and stochastically                triton/codecs.py
    lora_linear        frozen layers with a low-rank branch, differentiable
    weight_branch      the same for weights built from other small factors
    flat_optimizer     AdamW, clipping and averaging over one buffer
    image_statistics   colour and neighbours of a picture               triton/image_statistics.py
    statistics_bins, ordinal_patterns, orientation_histogram, oklab     its parts
    oriented_pairs     co-occurrence of edge orientations
    constants          fixed numbers, brought to a device once
    dispatch           which form runs: the caller's choice, a proven Triton form, else torch
    reference          what the fast forms of merging and rounding must equal
"""

"""Triton forms. Nothing here is imported with the pack: `kernels.dispatch` does it when a form is first used.

Rounding and unpacking are integer arithmetic on bit patterns, so that Triton's interpreter, sm_80 (which has no 8-bit
floats) and later cards agree bit for bit, and the code that runs in the tests is the code that runs on a card.
"""

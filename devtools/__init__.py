"""What dev.py does: a pinned ComfyUI with this pack in it, set up and run. Needs nothing but Python."""

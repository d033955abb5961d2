"""The text that gives each block its weight: its language, presets, vectors of older tools, and what it means."""

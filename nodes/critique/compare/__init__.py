"""Versions of one picture held against each other: what differs, and which look spoiled in light and colour."""

"""Measurements on a GPU (`python dev.py bench --gpu`) and the shapes they share with those on the CPU."""

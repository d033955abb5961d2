"""The templates of example_workflows, one job each: `dev.py templates` writes them for every family of models."""

"""What one step computes and changes, and how it is checked and measured."""

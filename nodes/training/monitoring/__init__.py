"""What is seen of a training while it runs, by a person or by a critic."""

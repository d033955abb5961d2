"""What is wrong with a training set: its pictures one by one and beside each other, and its captions."""

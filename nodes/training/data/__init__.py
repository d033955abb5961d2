"""What is learnt from: pictures, captions and masks, on their way to a training set."""

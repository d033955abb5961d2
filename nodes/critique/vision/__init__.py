"""What a vision-language model says about a picture, and how sure it is."""

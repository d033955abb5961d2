"""One training on several devices: which, how they start, what they tell each other, and what is reported of it."""

"""A gallery: the measures, criteria and scores of any number of pictures, in a table that grows on the disk."""

"""Where loading, training and criticising meet."""

"""One patch of the host, without a model: its shape, its size, its strength and its rank."""

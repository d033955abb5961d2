from live import server  # noqa: F401

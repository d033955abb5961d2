"""Tables in Markdown, of which a cell may hold what a person named."""


def cell(text: str) -> str:
    """Text for a cell: on one line, and with its bars as letters, which would end it."""
    return " ".join(text.split()).replace("|", "\\|")

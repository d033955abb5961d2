"""Which pictures of a batch get a chart and a heat map: each takes many megabytes, so that of a film a few must do."""
from ...shared.text_syntax import check_length, shorten

MOST = 16  # pictures that are drawn unless more are asked for
FORMS = "all, or numbers and ranges such as 1, 5, 9-12"


def drawn_pictures(text: str, count: int) -> list[int]:
    """Places from 0 of the pictures to draw. Empty: all of up to MOST, else MOST spread evenly over the batch.

    Raises ValueError with one sentence for what cannot be read, or where none of the batch is meant."""
    asked = read(text)
    if asked is None:
        return list(range(count)) if text.strip() or count <= MOST else [
            round(number * (count - 1) / (MOST - 1)) for number in range(MOST)]
    found = sorted({place for first, last in asked for place in range(first - 1, min(last, count))})
    if not found:
        raise ValueError(f'drawn: expected pictures from 1 to {count}, got "{shorten(text.strip())}"')
    return found


def read(text: str) -> list[tuple[int, int]] | None:
    """The ranges that are asked for, ends included; None for all, or where nothing is. Raises ValueError."""
    check_length(text, "drawn")
    if text.strip().lower() in ("", "all"):
        return None
    return [_range(piece.strip(), text) for piece in text.split(",") if piece.strip()]


def _range(piece: str, text: str) -> tuple[int, int]:
    first, dash, last = (part.strip() for part in piece.partition("-"))
    ends = (first, last) if dash else (first, first)
    if not all(end.isascii() and end.isdigit() and 0 < len(end) < 10 for end in ends) or not 1 <= int(ends[0]) <= int(
            ends[1]):
        raise ValueError(f'drawn: "{shorten(piece)}" cannot be read; write {FORMS}')
    return int(ends[0]), int(ends[1])

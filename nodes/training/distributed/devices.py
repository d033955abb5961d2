"""Which devices a text such as `1`, `all`, `3` or `0,2` asks for."""
import torch

from ...shared.text_syntax import shorten

ALL = "all"


def read_devices(text: str, own: torch.device) -> list[int]:
    """Numbers of the devices, ComfyUI's `own` first; on the CPU 0, 1, ... for as many processes.

    Raises ValueError, as a sentence, for a text that says something else and for devices that are not there."""
    text = str(text).strip().lower()
    if own.type != "cuda":
        return _processes(text, own)
    there, mine = torch.cuda.device_count(), own.index if own.index is not None else torch.cuda.current_device()
    others = [number for number in range(there) if number != mine]
    if text == ALL:
        return [mine, *others]
    if "," not in text:
        count = _number(text)
        if count > there:
            raise ValueError(f"devices: expected at most {there}, as many as are there, got {count}.")
        return [mine, *others[:count - 1]]
    return _listed(text, there, mine)


def _processes(text, own):
    """On the CPU; other kinds have one device."""
    if text == ALL or "," in text:
        raise ValueError(f"devices: {shorten(text, 40)!r} names graphics cards, and ComfyUI runs on "
                         f"{own.type}. Expected a number" + (" of processes." if own.type == "cpu" else ": 1."))
    count = _number(text)
    if count > 1 and own.type != "cpu":
        raise ValueError(f"devices: expected 1, as ComfyUI runs on {own.type}, which has one, got {count}.")
    return list(range(count))


def _number(text) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1024:
        raise ValueError(f"devices: expected all, a number from 1 or a list of numbers such as 0,2, got "
                         f"{shorten(text, 40)!r}.")
    return int(text)


def _listed(text, there, mine):
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts) or len({*parts}) < len(parts):
        raise ValueError(f"devices: expected a list of different numbers such as 0,2, got {shorten(text, 40)!r}.")
    numbers = [int(part[:9]) for part in parts]
    missing = [number for number in numbers if number >= there]
    if missing:
        raise ValueError(f"devices: there is no device {missing[0]}; there are {there}, counted from 0.")
    if mine not in numbers:
        raise ValueError(f"devices: expected ComfyUI's own device, {mine}, in the list, got {shorten(text, 40)!r}.")
    return [mine, *(number for number in numbers if number != mine)]

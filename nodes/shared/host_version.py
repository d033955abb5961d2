"""Refuses a host older than the oldest the tests run on: the pack may load there, and be wrong without a word."""
import re

OLDEST_HOST = (0, 30, 0)


def check_host(version: str) -> None:
    """Raises ImportError with the sentence that the host writes into its log."""
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < OLDEST_HOST:
        oldest = ".".join(map(str, OLDEST_HOST))
        raise ImportError(f"Bottega: this host is too old; expected ComfyUI {oldest} or newer, got {version}.")


def version_of_host() -> str:
    try:
        from comfyui_version import __version__
    except ImportError:
        return "a version without a number"
    return __version__

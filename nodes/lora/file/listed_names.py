"""Lines and patterns that name LoRA files among those that the host lists."""
from collections.abc import Iterable

from ...shared.text_syntax import check_length, fits, shorten


def file_names(patterns: str, listed: Iterable[str]) -> list[str]:
    """The files that lines such as `style*` name, each once, in the order of the lines and of the list.

    Raises ValueError for a line that no file fits."""
    check_length(patterns, "loras")
    listed, found = list(listed), []
    for line in filter(None, map(str.strip, patterns.splitlines())):
        pattern = plain(line)
        named = [name for name in listed if fits(pattern, plain(name)) or fits(f"{pattern}.safetensors", plain(name))]
        if not named:
            raise ValueError('loras: expected names of LoRA files, or patterns such as my_lora*, got '
                             f'"{shorten(line)}", which no file fits')
        found += [name for name in named if name not in found]
    return found


def plain(name: str) -> str:
    """A name as patterns are compared: Windows writes subfolders with backslashes and ignores case."""
    return name.replace("\\", "/").lower()

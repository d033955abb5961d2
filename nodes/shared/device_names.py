"""Names that a file or a folder cannot have on Windows."""
import re

DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³]) *(\.|$)", re.IGNORECASE)


def is_device(name: str) -> bool:
    """Whether Windows keeps the name for a device, whatever ending it has: CON, nul.txt, COM1."""
    return DEVICES.match(name) is not None

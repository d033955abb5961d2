"""Characters that look like those of a text language and are others, such as a full-width comma or an en dash."""
import re
import unicodedata

DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
MEANT = DASHES | {"\u3001": ",", "\u066b": ".", "\u066c": ",", "\u2217": "*", "\u22c5": ".", "\u2024": "."}
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def hint(text: str) -> str:
    """What to say after an error about a text that holds such a character, or a comma where none can be; else ""."""
    for character in text:
        if unicodedata.category(character) == "Cf":  # byte order mark, zero-width space
            return f"; it holds an invisible character ({unicodedata.name(character, 'without a name')}), take it out"
        meant = MEANT.get(character) or _compatible(character)
        if meant:
            return f'; it holds "{character}" ({unicodedata.name(character, "without a name")}), write "{meant}"'
    if DECIMAL_COMMA.fullmatch(text.strip()):
        return f'; a decimal comma is read as none, write "{text.strip().replace(",", ".")}"'
    return "; take the comma at its end away" if text.rstrip().endswith(",") else ""


def _compatible(character: str) -> str:
    """The ASCII character that a full-width one stands for, or ""."""
    plain = "" if character.isascii() else unicodedata.normalize("NFKC", character)
    return plain if len(plain) == 1 and plain.isascii() and not plain.isspace() else ""

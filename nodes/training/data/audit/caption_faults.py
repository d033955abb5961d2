"""Faults of captions: each by itself, and all of them together."""
import re
from collections import Counter
from collections.abc import Sequence

FEWEST = 5                  # captions that "every" may be said of
PHRASE, TIMES = 3, 3        # words that stand in a caption again and again, and how often
COMMON = ("a an the of on in at with and or is are to by for from it its this that his her as").split()
# Tags that cannot be true together; what the taggers of today write, and the words of plain captions.
CONTRARY = (
    ({"no humans"}, {"1girl", "1boy", "2girls", "2boys", "solo focus", "multiple girls", "multiple boys"}),
    ({"solo"}, {"2girls", "2boys", "3girls", "multiple girls", "multiple boys", "crowd"}),
    ({"indoors"}, {"outdoors"}), ({"day"}, {"night"}), ({"long hair"}, {"short hair"}),
    ({"closed eyes"}, {"wide-eyed"}), ({"open mouth"}, {"closed mouth"}), ({"standing"}, {"sitting", "lying"}),
    ({"simple background", "white background"}, {"detailed background", "scenery"}),
)
WITHOUT_COLOUR = {"monochrome", "greyscale", "grayscale", "black and white"}
COLOURED = 0.06             # mean chroma, of 1, above which a picture has colour to be seen


def tags(caption: str) -> list[str]:
    """The parts of a caption between commas, in small letters, as tags are compared: `long_hair` is `long hair`."""
    return [tag for part in caption.lower().replace("_", " ").split(",") if (tag := part.strip())]


def repeats_itself(caption: str) -> str:
    """What stands in a caption again: a tag, or PHRASE words in a row that stand there TIMES times; "" if nothing."""
    again = next((tag for tag, count in Counter(tags(caption)).items() if count > 1), "")
    if again:
        return again
    words = re.findall(r"\w+", caption.lower())
    phrases = Counter(tuple(words[i:i + PHRASE]) for i in range(len(words) - PHRASE + 1))
    return next((" ".join(phrase) for phrase, count in phrases.items() if count >= TIMES), "")


def contradicts(caption: str, chroma: float) -> str:
    """Two parts of a caption that cannot both be true, or one that the picture's colour denies; "" if none.

    chroma: the picture's mean difference between the greatest and least of its three colours, 0 to 1."""
    said = set(tags(caption))
    for one, other in CONTRARY:
        if said & one and said & other:
            return f"{min(said & one)} and {min(said & other)}"
    if said & WITHOUT_COLOUR and chroma > COLOURED:
        return f"{min(said & WITHOUT_COLOUR)}, but it has colour"
    return ""


def in_every_caption(captions: Sequence[str]) -> list[str]:
    """What all captions name, tags before words: nothing tells it apart from what else is in every picture."""
    if len(captions) < FEWEST or len(set(captions)) == 1:
        return []
    everywhere = set.intersection(*(set(tags(caption)) for caption in captions))
    words = set.intersection(*(set(re.findall(r"\w[\w'-]*", caption.lower())) for caption in captions)) - set(COMMON)
    inside = {word for tag in everywhere for word in tag.split()}
    return sorted(everywhere) + sorted(words - inside - everywhere)


def shared(captions: Sequence[str]) -> dict[str, int]:
    """Captions that several pictures have, and how many, where not all pictures have one."""
    counted = Counter(captions)
    return {} if len(counted) < 2 else {caption: count for caption, count in counted.items() if count > 1}

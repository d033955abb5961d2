"""Writing and watermarks in pictures, as a vision model that is connected sees them."""
import re

QUESTION = ("Is there any writing in this picture, or a watermark, a logo or a signature laid over it? Answer with one "
            "word: nothing, writing or watermark.")
LONGEST = 32                # tokens of an answer; a model that thinks first has no answer in them
WRITING, WATERMARK = "text", "watermark"
MEANS = {**dict.fromkeys(("nothing", "none", "no", "not", "cannot", "neither", "without"), ""),
         **dict.fromkeys(("writing", "text", "words", "letters"), WRITING),
         **dict.fromkeys(("watermark", "watermarks", "logo", "signature"), WATERMARK)}
SHORTENED = re.compile("n['\u2019]t\\b")      # isn't, doesn't


def sign_in(answer: str) -> str | None:
    """WRITING, WATERMARK or "" for nothing: the first word of an answer that says so; None where none does."""
    words = re.findall(r"[a-z]+", SHORTENED.sub(" not", answer.lower()))
    return next((MEANS[word] for word in words if word in MEANS), None)

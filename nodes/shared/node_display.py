"""What a node shows on the page: pictures and words.

A disk that takes no picture costs the picture, which the words then say, and not a result that took hours."""
from collections.abc import Callable, Sequence

from comfy_api.latest import ui
from torch import Tensor


def say(text: str, node_id: str) -> None:
    """A line on a node while it runs; nowhere where there is no server."""
    from server import PromptServer
    if (server := getattr(PromptServer, "instance", None)) is not None:
        server.send_progress_text(text, node_id)


def picture_and_text(cls, images: Tensor, text: str) -> dict:
    """The ui of a node. images: [B, H, W, C], written to the host's folder of temporary files."""
    shown, missing = pictures(cls, [images])
    return {**shown, "text": ("\n\n".join([text, *missing]),)}


def pictures(cls, batches: Sequence[Tensor]) -> tuple[dict, list[str]]:
    """(the ui of a node with every picture of batches of [B, H, W, C], nothing or a sentence on why there are none)."""
    written, missing = written_if_possible(
        lambda: [ui.PreviewImage(batch, cls=cls).as_dict() for batch in batches])
    if written is None:
        return {}, missing
    return {**written[0], "images": [image for each in written for image in each["images"]]}, []


def written_if_possible(write: Callable) -> tuple:
    """(what `write` returns, []), or (None, [a sentence]) where the disk does not take it."""
    try:
        return write(), []
    except OSError as error:
        return None, [f"The picture for the page could not be written ({error.strerror or error})."]

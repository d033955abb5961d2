import comfy.utils
from comfy_api.v0_0_2 import io

from .vision import CLIP, word_inputs

CAPTION = ("Describe this picture in one or two plain sentences, as a caption for training: the subject first, then "
           "what it does and where. Do not name the style, and do not begin with \"The picture shows\".")


class CaptionFolder(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCaptionFolder",
            display_name="Caption Folder",
            category="bottega/training",
            description="Lets a vision-language model describe every picture of a folder and writes each caption into "
                        "a .txt file beside it.",
            search_aliases=["caption folder", "batch caption", "auto caption", "captioning", "caption dataset",
                            "dataset captions", "tag folder", "caption images", "txt files"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Clip.Input("clip", tooltip=CLIP),
                io.String.Input("folder", default="", tooltip="A folder of pictures, with its subfolders: below "
                                                              "ComfyUI's input directory, or an absolute path."),
                io.String.Input("instruction", default=CAPTION, multiline=True,
                                tooltip="What the model is asked to write about each picture."),
                io.String.Input("trigger_words", default="", optional=True,
                                tooltip="Words that stand before every caption, such as: lantern style. A caption that "
                                        "holds them already stays as it is."),
                io.Combo.Input("existing", options=["keep", "replace"], default="keep", optional=True,
                               tooltip="keep: a picture that has a caption file is passed over. replace: its caption "
                                       "is written anew, and the old text is lost."),
                *word_inputs("Seed of the words when the temperature is above 0; each picture takes the next."),
            ],
            outputs=[
                io.String.Output(display_name="folder", tooltip="The folder as it was written, for Training Set, which "
                                                                "then waits for the captions."),
                io.String.Output(display_name="report", tooltip="Markdown: the captions, what was kept, what got none "
                                                                "and why."),
                io.Image.Output(display_name="contact_sheet", tooltip="Pictures with their captions, new ones first."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, folder="", existing="keep", **inputs):
        from ...shared import linked_files
        return linked_files.fingerprint(cls, _version, folder, existing)

    @classmethod
    def execute(cls, clip, folder, instruction, trigger_words="", existing="keep", max_length=256, temperature=0.0,
                seed=0) -> io.NodeOutput:
        from ...shared import linked_files
        from ...shared.node_display import picture_and_text
        from ...shared.picture_folder import locate
        from ...shared.vision_model import Eye
        from ..vision.folder_captions import Plan, caption_folder, contact_sheet, report
        if not folder.strip():
            raise ValueError("folder: expected a folder below ComfyUI's input directory or an absolute path, got "
                             "nothing")
        linked_files.note(cls, _version, folder, existing)
        plan = Plan(instruction, trigger_words, existing, max_length, temperature, seed)
        listing, done = caption_folder(Eye(clip), locate(folder), plan, _counter)
        text, picture = report(listing, done), contact_sheet(done)
        return io.NodeOutput(folder, text, picture, ui=picture_and_text(cls, picture, text))


def _version(folder, existing):
    from ...shared.picture_folder import locate
    from ..vision.folder_captions import state
    if not folder.strip():      # refused by the run
        return ""
    try:
        return state(locate(folder), existing)
    except (ValueError, OSError) as error:
        return str(error)       # which the run then says


def _counter(total: int):
    """What counts pictures on the page."""
    progress = comfy.utils.ProgressBar(max(total, 1))
    return lambda: progress.update(1)

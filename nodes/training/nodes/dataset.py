"""Nodes that make a training set."""
import comfy.utils
from comfy_api.v0_0_2 import io, ui

from .types import Dataset

MASKS, UNREADABLE = ("none", "files", "alpha"), ("stop", "skip")


class TrainingSet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaTrainingSet",
            display_name="Training Set",
            category="bottega/training",
            description="Makes a training set of a folder of pictures with captions beside them, or of pictures from "
                        "the graph: brought to sizes that suit them, encoded one at a time, shown on a contact sheet.",
            search_aliases=["dataset", "training data", "load images from folder", "bucket", "captions", "kohya"],
            is_input_list=True,
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of the model that will be trained."),
                io.Clip.Input("clip", tooltip="The text encoders of the model that will be trained."),
                io.String.Input("folder", optional=True,
                                default="", tooltip="A folder below ComfyUI's input folder, or an absolute "
                                "path. 01.png has its caption in 01.txt, its mask in 01_mask.png, what it was "
                                "before a change in 01_before.png; a subfolder 10_name shows its pictures ten times. "
                                "Empty when images are connected."),
                io.Int.Input("resolution", optional=True, default=1024, min=32, max=8192, step=8,
                             tooltip="Side of a square with as many pixels as each picture is brought to: 512 for "
                                     "SD 1.5, 1024 for most others."),
                io.Boolean.Input("buckets", optional=True,
                                 default=True, tooltip="Keep the shapes of pictures, in sizes of about the "
                                 "same area. Off: cut every picture to a square."),
                io.Int.Input("repeats", optional=True,
                             default=1, min=1, max=1000, tooltip="How often an epoch shows each picture; "
                             "multiplies the number in the name of a subfolder."),
                io.Image.Input("images", optional=True, tooltip="Pictures from the graph, instead of a folder."),
                io.String.Input("captions", optional=True, force_input=True,
                                tooltip="One caption for each picture, as Describe Image gives them, or one for all. "
                                        "They take the place of the files."),
                io.Mask.Input("mask", optional=True, tooltip="For pictures from the graph: white where to learn, one "
                              "for each picture."),
                io.String.Input("default_caption", default="", tooltip="Caption of a picture that has none, such as a "
                                "trigger word. Empty: a missing caption is an error.", optional=True, advanced=True),
                io.Combo.Input("masks", options=list(MASKS), optional=True, advanced=True,
                               tooltip="files: learn only where 01_mask.png is white. alpha: only where a picture is "
                                       "opaque."),
                io.Float.Input("caption_dropout", default=0.0, min=0.0, max=1.0, step=0.01, optional=True,
                               advanced=True,
                               tooltip="Share of the steps that see a picture without its caption. 0.05 to 0.1 helps "
                                       "styles and keeps guidance working."),
                io.Int.Input("tag_shuffles", default=0, min=0, max=16, optional=True, advanced=True,
                             tooltip="Further orders of comma-separated tags for each caption; every one is encoded."),
                io.Int.Input("keep_first", default=1, min=0, max=100, optional=True, advanced=True,
                             tooltip="How many tags at the beginning a shuffle leaves in place."),
                io.Boolean.Input("flip", default=False, optional=True, advanced=True,
                                 tooltip="Show every picture mirrored as well. Not for faces or writing."),
                io.String.Input("regularisation_folder", default="", optional=True, advanced=True,
                                tooltip="A folder of pictures of the general class, with captions, that keep the model "
                                        "from forgetting it."),
                io.Float.Input("regularisation_weight", default=1.0, min=0.0, max=10.0, step=0.05, optional=True,
                               advanced=True,
                               tooltip="Weight of the regularisation pictures in the loss."),
                io.Combo.Input("unreadable", options=list(UNREADABLE), optional=True, advanced=True,
                               tooltip="What to do about a picture that cannot be read: stop, or leave it out and say "
                                       "so."),
                io.Boolean.Input("cache", default=False, optional=True, advanced=True,
                                 tooltip="Keep the latents in ComfyUI's user folder (bottega/latents), so that the "
                                         "next start need not encode again."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, optional=True, advanced=True,
                             control_after_generate=io.ControlAfterGenerate.fixed,  # unsaid, the page miscounts values
                             tooltip="Seed of the orders of tags."),
                io.Image.Input("before", optional=True, tooltip="For pictures from the graph: what each of them was "
                               "before a change, so that only the change is learnt. In a folder 01_before.png is that "
                               "of 01.png."),
            ],
            outputs=[
                Dataset.Output("dataset", tooltip="The training set, for Train LoRA."),
                io.String.Output("report", tooltip="How many pictures in which sizes, what was left out, in Markdown."),
                io.Image.Output("contact_sheet", tooltip="Every picture as it will be learnt, with its caption."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, folder=None, regularisation_folder=None, **_):
        from ..data.folder import fingerprint, locate
        folders = [_first(value) for value in (folder, regularisation_folder)]
        try:
            return [fingerprint(locate(name)) for name in folders if name]
        except ValueError as error:
            return str(error)

    @classmethod
    def execute(cls, vae, clip, folder="", images=None, captions=None, mask=None, before=None, **inputs):
        from ..data.assemble import assemble
        from ..data.collect import Preparation
        from ..data.contact import contact_sheet, report
        inputs = {name: _first(value) for name, value in inputs.items()}
        plan = Preparation(**{name: inputs[name] for name in Preparation._fields if name in inputs})
        bar = comfy.utils.ProgressBar(1)

        def progress(done, total):
            bar.update_absolute(done, total)

        made = assemble(_first(vae), _first(clip), _first(folder), _flat(images), captions or [], _flat(mask),
                        inputs.get("default_caption", ""), inputs.get("regularisation_folder", ""), plan, progress,
                        _flat(before))
        text, sheet = report(made, plan), contact_sheet(made)
        shown = {**ui.PreviewImage(sheet, cls=cls).as_dict(), "text": (text,)}
        return io.NodeOutput(made.dataset, text, sheet, ui=shown)


class CoreTrainingSet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCoreTrainingSet",
            display_name="Training Set (from core nodes)",
            category="bottega/training",
            description="Turns the latents and captions of ComfyUI's own data-set nodes into a training set.",
            search_aliases=["dataset", "training data", "make training dataset", "load training dataset", "captions"],
            is_input_list=True,
            inputs=[
                io.Latent.Input("latents", tooltip="The pictures, as Make Training Dataset, Load Training Dataset, "
                                "Resolution Bucket or VAE Encode give them: one latent, a batch or a list, of any "
                                "sizes."),
                io.Conditioning.Input("positive", tooltip="The captions in the same order: one for each picture, or "
                                      "a single one for all."),
            ],
            outputs=[
                Dataset.Output("dataset", tooltip="The training set, for Train LoRA."),
            ],
        )

    @classmethod
    def execute(cls, latents, positive):
        from ..data.dataset import from_core_nodes
        return io.NodeOutput(from_core_nodes(latents, positive))


def _first(value):
    """The one value of an input that comes as a list."""
    return value[0] if isinstance(value, list) and value else value


def _flat(batches) -> list:
    """Every picture or mask of a list of batches, [1, ...] each."""
    return [one for batch in batches or [] for one in batch.split(1)]

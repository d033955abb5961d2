"""Nodes that make a training set."""
import comfy.utils
import folder_paths
from comfy_api.v0_0_2 import io

from ...shared.node_display import picture_and_text
from .ranges import check_ranges

Dataset = io.Custom("BOTTEGA_DATASET")

MASKS, UNREADABLE, SYNTAXES = ("none", "files", "alpha"), ("stop", "skip"), ("literal", "weights")


class TrainingSet(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaTrainingSet",
            display_name="Training Set",
            category="bottega/training",
            description="Makes a training set of a folder of pictures or videos with captions beside them, or of "
                        "pictures from the graph: brought to sizes that suit them, encoded one at a time, shown on a "
                        "contact sheet.",
            search_aliases=["dataset", "training data", "load images from folder", "bucket", "captions", "kohya",
                            "train on folder", "captions txt", "image folder", "video", "frames"],
            hidden=[io.Hidden.unique_id],
            is_input_list=True,
            has_intermediate_output=True,
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
                                 tooltip="Keep latents and encoded captions in ComfyUI's user folder "
                                         "(bottega/latents), so that the next start need not encode again, and "
                                         "nothing of them in memory."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, optional=True, advanced=True,
                             control_after_generate=io.ControlAfterGenerate.fixed,  # unsaid, the page miscounts values
                             tooltip="Seed of the orders of tags."),
                io.Image.Input("before", optional=True, tooltip="For pictures from the graph: what each of them was "
                               "before a change, so that only the change is learnt. In a folder 01_before.png is that "
                               "of 01.png."),
                io.Combo.Input("prompt_syntax", options=list(SYNTAXES), optional=True, advanced=True,
                               tooltip="literal: captions are learnt as they are written. weights: (word:1.2) and "
                                       "\\( in captions mean what they mean in a prompt."),
                io.Boolean.Input("audit", default=True, optional=True, advanced=True,
                                 tooltip="Look for near-duplicates, blurred, enlarged and JPEG-damaged pictures, and "
                                         "for captions that repeat or contradict themselves, and say so."),
                io.String.Input("leave_out", default="", optional=True, advanced=True,
                                tooltip="What the audit finds and is not to be learnt, such as: duplicate, soft, jpeg, "
                                        "small, caption; with vision also text, watermark. Empty: everything is "
                                        "learnt."),
                io.String.Input("table", default="", optional=True, advanced=True,
                                tooltip="The table of Critique Gallery, or the name of a gallery: only those pictures "
                                        "of the folder are learnt that `where` takes. Without a folder, those of the "
                                        "gallery's."),
                io.String.Input("where", default="", optional=True, advanced=True,
                                tooltip="Which pictures of the table: comparisons such as `score > 60; Symmetry < 20`, "
                                        "weights such as `Balance = 2`, and `first = 200`, the best of them. Empty: "
                                        "all that could be measured."),
                io.Float.Input("cache_limit", default=50.0, min=0.0, max=100_000.0, step=1.0, optional=True,
                               advanced=True,
                               tooltip="How many gigabytes the cache may take before what was not used for longest is "
                                       "removed from it. What this set needs stays in any case. 0: no limit."),
                io.String.Input("frames", default="", optional=True,
                                tooltip="To learn videos: how many frames a clip of them has, such as 33, or several "
                                        "numbers, such as 17, 33, 81, of which each video takes the most that it "
                                        "fills. Videos, animations and folders 01_frames are then read beside "
                                        "pictures. Empty: pictures alone."),
                io.Float.Input("fps", default=16.0, min=0.0, max=240.0, step=0.5, optional=True,
                               tooltip="Frames a second that videos are brought to: 16 for Wan 2.1 and "
                                       "Wan 2.2 14B, 24 for Wan 2.2 5B and HunyuanVideo, 25 for LTX. 0: those that "
                                       "each video has."),
                io.Int.Input("clips", default=1, min=1, max=1000, optional=True, advanced=True,
                             tooltip="How many clips are taken from each video, evenly spread from its start to its "
                                     "end. 1: its beginning."),
                io.Clip.Input("vision", optional=True,
                              tooltip="A vision-language text encoder, from Load CLIP, such as Qwen3-VL: the audit "
                                      "asks it about writing and watermarks in every picture."),
                io.Boolean.Input("start_picture", default=False, optional=True, advanced=True,
                                 tooltip="For image-to-video models such as Wan I2V: each clip's first frame is the "
                                         "picture that it begins from, as WanImageToVideo gives it."),
            ],
            outputs=[
                Dataset.Output("dataset", tooltip="The training set, for Train LoRA."),
                io.String.Output("report", tooltip="How many pictures in which sizes, what was left out, in Markdown."),
                io.Image.Output("contact_sheet", tooltip="Every picture as it will be learnt, with its caption."),
                io.Image.Output("worst", tooltip="The pictures in which the audit found most, with what it found."),
            ],
        )

    @classmethod
    def validate_inputs(cls, where=None):
        from ...shared.picture_choice import parse
        try:
            parse(_first(where) or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, folder="", regularisation_folder="", table="", **_):
        from ...shared import linked_files
        return linked_files.fingerprint(cls, _version, _first(folder), _first(regularisation_folder), _first(table))

    @classmethod
    def execute(cls, vae, clip, folder="", images=None, captions=None, mask=None, before=None, vision=None, **inputs):
        from ...shared import linked_files
        from ..data import sources
        from ..data.clips import clip_plan
        from ..data.preparation import Preparation, prepare
        from ..data.training_set_report import contact_sheet, report, worst_sheet
        inputs = {name: _first(value) for name, value in inputs.items()}
        check_ranges(cls, inputs)
        linked_files.note(cls, _version, _first(folder) or "", inputs.get("regularisation_folder", ""),
                          inputs.get("table", ""))
        plan = Preparation(**{name: inputs[name] for name in Preparation._fields if name in inputs})
        found, notes = sources.settled(_first(folder) or "", _flat(images), captions or [], _flat(mask), _flat(before),
                                       inputs.get("default_caption", ""), inputs.get("regularisation_folder", ""),
                                       plan.masks, inputs.get("table", ""), inputs.get("where", ""),
                                       clip_plan(plan.frames, plan.fps, plan.clips))
        made = prepare(found, _first(vae), _first(clip), plan, comfy.utils.ProgressBar(1).update_absolute, notes,
                       _first(folder) or "", _first(vision))
        text, sheet = report(made, plan), contact_sheet(made)
        shown = picture_and_text(cls, sheet, text)
        return io.NodeOutput(made.dataset, text, sheet, worst_sheet(made), ui=shown)


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


def _version(folder, regularisation_folder, table):
    """Changes when a file of the folders or the table does; without a folder the pictures are those of the table."""
    from ...shared import picture_table
    from ...shared.picture_folder import fingerprint, locate
    output = folder_paths.get_output_directory
    read = folder if folder.strip() or not table.strip() else picture_table.root_of(table, output)
    tables = [picture_table.fingerprint(table, output)] if table else []
    try:
        return [fingerprint(locate(name)) for name in (read, regularisation_folder) if name.strip()] + tables
    except ValueError as error:
        return [str(error), *tables]


def _first(value):
    """The one value of an input that comes as a list; the host gives (None,) where it does not know a link's yet."""
    return value[0] if isinstance(value, (list, tuple)) and value else value


def _flat(batches) -> list:
    """Every picture or mask of a list of batches, [1, ...] each."""
    return [one for batch in batches or [] for one in batch.split(1)]

"""The node that makes one LoRA of the checkpoints of a training."""
import folder_paths
import torch
from comfy_api.v0_0_2 import io, ui

from ...lora.file.listed_names import file_names
from ...lora.file.lora_files import listed_version
from ..averaging.power_function_ema import LONGEST, SHORTEST
from .dataset import Dataset
from .ranges import check_length, check_ranges
from .recipe import Recipe

LORAS = """Checkpoints of one training, one a line, as the loras folders list them; my_lora* takes all that fit. Their
steps are read from the files, or from their names."""
HOW = """mean: all alike. ema: plain checkpoints, the last counting most. post_hoc_ema: files that hold averages, from a
recipe with ema_length; gives an average of any length. best: that of the lowest validation loss on dataset."""
BEST = "best"


class AverageCheckpoints(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaAverageCheckpoints",
            display_name="Average Checkpoints",
            category="bottega/training",
            description="Makes one LoRA of the checkpoints of a training, for Save LoRA and Apply LoRA: their mean, or "
                        "an average of any length after the training.",
            search_aliases=["ema", "post-hoc ema", "average lora", "merge checkpoints", "checkpoint averaging",
                            "stochastic weight averaging", "swa", "model soup"],
            is_output_node=True,
            inputs=[
                io.String.Input("loras", default="", multiline=True, tooltip=LORAS),
                io.Combo.Input("how", options=["mean", "ema", "post_hoc_ema", BEST], default="mean", tooltip=HOW),
                io.Float.Input("length", default=0.1, min=SHORTEST, max=LONGEST, step=0.005, round=False,
                               tooltip="How long the average is (sigma_rel), as a share of the training. Smaller stays "
                                       "nearer to the last checkpoint. Not for mean."),
                io.Int.Input("first", default=0, min=0, max=10_000_000, tooltip="First step that is taken."),
                io.Int.Input("last", default=0, min=0, max=10_000_000,
                             tooltip="Last step that is taken, where the average ends. 0: the last there is."),
                io.Int.Input("rank", default=0, min=0, max=1024,
                             tooltip="0 keeps the average exactly: the ranks of the checkpoints add up. Else the "
                                     "highest rank of each weight; the report says how much is kept."),
                io.Float.Input("kept_length", default=0.0, min=0.0, max=LONGEST, step=0.005, round=False, optional=True,
                               tooltip="For post_hoc_ema: the length of the averages that the files hold. 0: what the "
                                       "files say."),
                io.Model.Input("model", optional=True,
                               tooltip="Only needed for what is no plain LoRA, such as DoRA, LoHa and LoKr."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoders, where model is connected and the "
                                                             "checkpoints change them."),
                Dataset.Input("dataset", optional=True,
                              tooltip="Pictures to measure the validation loss on, of the last checkpoint, of averages "
                                      "of several lengths and of the mean. Needs model."),
                io.Int.Input("validation_pictures", default=0, min=0, max=100_000, optional=True,
                             tooltip="How many pictures of dataset are measured. The number that Training Recipe had "
                                     "takes those that were never learnt from. 0: all."),
                Recipe.Input("recipe", optional=True, tooltip="That of the training, so that the validation loss is "
                                                              "its own. Without it the family's usual one."),
            ],
            outputs=[
                io.LoraModel.Output("lora", tooltip="The average, for Save LoRA, Apply LoRA and LoRA Grid."),
                io.String.Output("report", tooltip="Markdown: what was averaged, and with which weights."),
                io.String.Output("data", tooltip="JSON, a row with step and weight for each checkpoint, for Chart."),
                io.Image.Output("chart", tooltip="The validation loss over the length of the average; a plain picture "
                                                 "without dataset."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, loras="", **inputs):
        try:
            names = file_names(loras or "", folder_paths.get_filename_list("loras"))
        except ValueError:
            names = []      # execute says what is wrong
        return [listed_version(name) for name in names]

    @classmethod
    def execute(cls, loras, how, length, first, last, rank, kept_length=0.0, model=None, clip=None, dataset=None,
                validation_pictures=0, recipe=None):
        from ..averaging.average import average, weighted
        from ..averaging.snapshots import found
        check_length("length", length, or_zero=False)
        check_length("kept_length", kept_length)
        check_ranges(cls, {"first": first, "last": last, "rank": rank})
        if how == BEST and dataset is None:
            raise ValueError("dataset: expected pictures to measure the validation loss on, for how = best, got none.")
        snapshots, twice, told = found(file_names(loras, folder_paths.get_filename_list("loras")), first, last)
        made = None if how == BEST else average(weighted(snapshots, how, length, kept_length), how, rank, model, clip)
        compared = _compared(dataset, validation_pictures, recipe, snapshots, length, kept_length, rank, model, clip)
        made = made or compared.best
        parts = [*([compared.report] if compared else []), made.report, *([told] if told else []),
                 *(["Left out, of a step that a newer file has: " + ", ".join(twice)] if twice else [])]
        report = "\n\n".join(parts)
        return io.NodeOutput(made.tensors, report, made.data, compared.chart if compared else torch.ones(1, 64, 64, 3),
                             ui=ui.PreviewText(report))


def _compared(dataset, pictures, recipe, snapshots, *settings):
    """The validation losses, None without a data set."""
    if dataset is None:
        return None
    from ..best_average import Held, compare
    from ..plan.recipe import Recipe as Plan
    return compare(Held(dataset, pictures, recipe or Plan()), snapshots, *settings)

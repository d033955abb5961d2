import json
from pathlib import Path

import comfy.utils
import folder_paths
from comfy_api.v0_0_2 import io, ui

from .critique_inputs import ReferenceType, reference_input, rubric_input, rubric_sentence

FOLDER = "classifiers"  # of the host, below models
ENDINGS = (".safetensors", ".sft", ".pth", ".pt", ".ckpt", ".bin")
NONE = "none: put a head into models/classifiers"
ACTIVATIONS = ["by the file", "none", "relu"]


def heads() -> list[str]:
    """The files of models/classifiers that may hold a head; the host's own list of that folder shows no endings."""
    found = [name for folder in folder_paths.get_folder_paths(FOLDER)
             for name in folder_paths.recursive_search(folder, [".git"])[0]]
    return sorted({name for name in found if name.lower().endswith(ENDINGS)})


class LearnedScore(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaLearnedScore",
            display_name="Learned Score",
            category="bottega/critique",
            description="Scores pictures by a head that was trained on people's ratings, such as LAION's aesthetic "
                        "predictor, over the host's CLIP vision; shows where it disagrees with what is measured, and "
                        "lends it to rubrics as the term `learned`.",
            search_aliases=["aesthetic score", "aesthetic predictor", "laion", "mlp", "image quality", "rate image"],
            is_output_node=True,
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="The CLIP vision model that the head was trained on, from "
                                                           "Load CLIP Vision: ViT-L/14 for LAION's heads."),
                io.Combo.Input("head", options=heads() or [NONE],
                               tooltip="The head, a small .safetensors or .pth file in models/classifiers, such as "
                                       "sac+logos+ava1-l14-linearMSE. Nothing but tensors is read from it."),
                io.Image.Input("images", optional=True, tooltip="Pictures to score, each reduced to its middle square "
                                                                "as CLIP sees it. Without any, only reference is "
                                                                "made."),
                reference_input(),
                rubric_input(),
                io.Float.Input("lowest", default=1.0, min=-1000.0, max=1000.0, step=0.1, optional=True, advanced=True,
                               tooltip="The lowest score that the head is meant to give: 0 of 100 in a rubric."),
                io.Float.Input("highest", default=10.0, min=-1000.0, max=1000.0, step=0.1, optional=True,
                               advanced=True,
                               tooltip="The highest score that the head is meant to give: 100 of 100 in a rubric."),
                io.Combo.Input("activation", options=ACTIVATIONS, optional=True, advanced=True,
                               tooltip="What stands between the head's layers: read from its layers' numbers and its "
                                       "name, nothing (LAION's linearMSE), or a ReLU."),
            ],
            outputs=[
                io.Float.Output("score", tooltip="The mean score of the pictures on the head's own scale; 0 without "
                                                 "pictures."),
                io.Float.Output("scores", is_output_list=True, tooltip="One score for each picture, as a list; a "
                                                                       "single 0 without pictures."),
                ReferenceType.Output("reference", tooltip="For Art Critique, Rank Images, Best of N, Tune Blocks, "
                                                          "Block Effect and Prompt Critic: what came in, or the "
                                                          "paintings, which also knows `learned` in a rubric. A table "
                                                          "of Critique Gallery holds no learned score."),
                io.String.Output("report", tooltip="Markdown: each picture's learned and measured score, and where "
                                                   "they disagree."),
                io.String.Output("data", tooltip="JSON, one entry for each picture: learned, its place on the scale, "
                                                 "measured, and whether they disagree. For Chart."),
            ],
        )

    @classmethod
    def validate_inputs(cls, head=None, rubric=None):
        if head is not None and head not in heads():
            return f'head: expected a file of models/classifiers, got "{head[:60]}"'
        return rubric_sentence(rubric, total=True)

    @classmethod
    def fingerprint_inputs(cls, head=None, **inputs):
        path = folder_paths.get_full_path(FOLDER, head) if head else None
        return Path(path).stat().st_mtime_ns if path else ""

    @classmethod
    def execute(cls, clip_vision, head, images=None, reference=None, rubric="", lowest=1.0, highest=10.0,
                activation=ACTIVATIONS[0]):
        from ..examination import judge_only
        from ..learned import learned_score, score_head
        from ..picture.planes import check
        from ..reference.distributions import paintings
        from ..rubric.rubric_language import parse
        if images is not None:
            check(images)
        ends, judged_by = learned_score.scale(lowest, highest), parse(rubric or "")
        read = score_head.read(Path(folder_paths.get_full_path_or_raise(FOLDER, head)), activation)
        scorer = learned_score.Scorer(clip_vision, read)
        known = learned_score.with_learned(reference or paintings(), scorer, ends)
        pictures = [] if images is None else images.split(1)
        bar, scores, measured = comfy.utils.ProgressBar(max(1, len(pictures))), [], []
        for picture in pictures:
            scores.append(scorer(picture))
            measured.append(judge_only(picture, known, judged_by).score)
            bar.update(1)
        report = learned_score.write(read, ends, scores, measured, judged_by.manner)
        return io.NodeOutput(sum(scores) / max(1, len(scores)), scores or [0.0], known, report,
                             json.dumps(learned_score.data(ends, scores, measured)), ui=ui.PreviewText(report))

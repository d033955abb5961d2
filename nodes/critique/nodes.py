import json

import comfy.utils
import folder_paths
from comfy_api.v0_0_2 import io

# The modules of the room load when a node runs: fifty files take longer to import than the page should wait.
ReferenceType = io.Custom("BOTTEGA_REFERENCE")
RUBRIC = ("What counts and how, such as `Balance=2; Symmetry=0; Value>70; Line -> 80 +- 10`, or a critic: `@Arnheim`. "
          "Empty: the default rubric. The help page has the grammar.")


def _rubric_input():
    return io.String.Input("rubric", default="", multiline=True, optional=True, tooltip=RUBRIC)


def _reference_input():
    return ReferenceType.Input("reference", optional=True,
                               tooltip="Pictures to be held against instead of the 1,629 paintings.")


class ArtCritique(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCritique",
            display_name="Art Critique",
            category="bottega/critique",
            description="Measures pictures by the elements of art and the principles of design, and places each "
                        "among 1,629 Western paintings. The score is a position in that tradition, not beauty; every "
                        "point of it is traced back to a criterion.",
            search_aliases=["aesthetic score", "art score", "composition", "rate image", "image quality", "heat map"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("images", tooltip="Pictures to criticise, at least 16 x 16 pixels each. Transparency is "
                                                 "ignored."),
                _rubric_input(),
                _reference_input(),
                io.Mask.Input("mask", optional=True,
                              tooltip="White marks the part to judge: the smallest rectangle that holds it is cut out "
                                      "and criticised as a picture of its own."),
                io.Image.Input("depth", optional=True,
                               tooltip="A depth map, bright where it is near, as the depth nodes draw it. Space is "
                                       "then measured with it."),
                io.Boolean.Input("counterfactuals", default=False, optional=True, advanced=True,
                                 tooltip="Also search for the smallest crop, value curve, saturation or turn of the "
                                         "hues that would raise the weakest criteria. Takes minutes a picture."),
                io.Boolean.Input("in_metadata", default=False, optional=True, advanced=True,
                                 tooltip="Put the critique into the PNG files that later nodes save. Save from the "
                                         "images output, so that it is there in time."),
                io.String.Input("heat", default="", optional=True, advanced=True,
                                tooltip="The criterion or measure whose heat map to show, such as `Texture`. Empty: "
                                        "the most unusual measure. One that belongs to the picture as a whole is "
                                        "mapped by hiding place after place, which takes up to a minute a picture."),
            ],
            outputs=[
                io.Float.Output("score", tooltip="0 to 100, the mean over the batch. Paintings are spread evenly from "
                                                 "0 to 100; 95 % band ±3.4. 0 where a rubric holds positions only, as "
                                                 "`@Wölfflin` does."),
                io.Float.Output("scores", is_output_list=True, tooltip="One score for each picture, as a list."),
                io.String.Output("report", tooltip="Markdown: what the score is, the strongest reasons, every "
                                                   "criterion with its measures, and what the heat map shows."),
                io.String.Output("data", tooltip="JSON, one entry for each picture: measures at 1024 px and at the "
                                                 "picture's own size (native), percentiles, criteria, "
                                                 "contributions, palette. For Chart."),
                io.Image.Output("chart", tooltip="One chart for each picture: where its measures lie among the "
                                                 "paintings, and the points each criterion gives or takes."),
                io.Image.Output("heatmap", tooltip="Each picture in grey under the places that add most to its most "
                                                   "unusual measure, or to what heat asks for; the caption names "
                                                   "it."),
                io.Image.Output("images", tooltip="The pictures as they came in, after they were criticised."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None, heat=None):
        return _sentence(rubric, heat=heat)

    @classmethod
    def fingerprint_inputs(cls, in_metadata=False, **inputs):
        # What the critique adds to a prompt is gone with that prompt, so it has to run in each.
        return float("nan") if in_metadata else 0

    @classmethod
    def execute(cls, images, rubric="", reference=None, mask=None, depth=None, counterfactuals=False,
                in_metadata=False, heat=""):
        from . import stage
        return stage.criticise(cls, images, rubric, reference, mask, depth, counterfactuals, in_metadata, heat)


class CritiqueReference(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCritiqueReference",
            display_name="Critique Reference",
            category="bottega/critique",
            description="Measures the pictures of a tradition, a style or your own work, so that Art Critique can say "
                        "where a picture stands among them.",
            search_aliases=["reference style", "style statistics", "corpus", "art score", "calibrate critique"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", optional=True, tooltip="Pictures of the reference, beside or instead of a "
                                                                "folder."),
                io.String.Input("folder", optional=True,
                                default="", tooltip="A folder of pictures, with its subfolders: below "
                                "ComfyUI's input directory, or an absolute path. About a second a picture."),
                io.String.Input("name", optional=True,
                                default="", tooltip="What reports call it; empty: the name of the folder."),
                io.Combo.Input("unreadable", options=["stop", "skip"], optional=True, advanced=True,
                               tooltip="What to do about a picture that cannot be read or measured: stop, or leave it "
                                       "out and say so."),
            ],
            outputs=[
                ReferenceType.Output("reference", tooltip="For Art Critique. 100 pictures or more are good; with fewer "
                                                          "than 20 every percentile is uncertain by 30 points."),
                io.String.Output("report", tooltip="Markdown: how many pictures, how sure their percentiles are, which "
                                                   "could not be read, and where they differ from the paintings."),
                io.String.Output("data", tooltip="JSON, a row for each picture: its file, the year in its name, its "
                                                 "score among the paintings and its measures. For Chart: "
                                                 "`timeline()`, `plane()`."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, images=None, folder="", name="", unreadable="stop"):
        from . import collection
        if not folder.strip():
            return ""
        try:
            return collection.fingerprint(collection.resolve(folder, folder_paths.get_input_directory()))
        except (ValueError, OSError):
            return folder  # execute says what is wrong with it

    @classmethod
    def execute(cls, images=None, folder="", name="", unreadable="stop"):
        from . import collection
        if images is None and not folder.strip():
            raise ValueError("images: expected pictures or a folder of them, got neither")
        found = collection.resolve(folder, folder_paths.get_input_directory()) if folder.strip() else None
        paths = collection.files(found) if found else []
        progress = comfy.utils.ProgressBar(len(paths) + (0 if images is None else len(images)))
        called = name.strip() or (found.name if found else "the connected pictures")
        measured = collection.collect(images, paths, called, lambda: progress.update(1), unreadable)
        report = collection.report(measured)
        return io.NodeOutput(measured.reference, report, json.dumps(measured.pictures), ui={"text": (report,)})


class RankImages(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaRankImages",
            display_name="Rank Images",
            category="bottega/critique",
            description="Puts the pictures of a batch in the order of their critique and keeps the best.",
            search_aliases=["best of n", "sort images", "pick best", "aesthetic filter", "select images", "top k"],
            inputs=[
                io.Image.Input("images", tooltip="The batch to choose from."),
                _rubric_input(),
                io.Int.Input("keep", default=1, min=1, max=4096, tooltip="How many to keep; all of them if there are "
                                                                         "fewer."),
                _reference_input(),
            ],
            outputs=[
                io.Image.Output("best", tooltip="The pictures with the highest scores, the highest first."),
                io.Image.Output("sorted", tooltip="All pictures, from the highest score to the lowest; equal scores "
                                                  "stay in the order of the batch."),
                io.Float.Output("scores", is_output_list=True, tooltip="The scores in that order, as a list."),
                io.String.Output("report", tooltip="Markdown: the ranking with the strongest reason of each."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None):
        return _sentence(rubric, total=True)

    @classmethod
    def execute(cls, images, rubric="", keep=1, reference=None):
        from . import stage
        return stage.rank_images(images, rubric, keep, reference)


def _sentence(rubric: str | None, total: bool = False, heat: str | None = None) -> bool | str:
    from .language import parse, subject
    from .score import check_total
    try:
        read = parse(rubric or "")  # None: it comes from a link, and is read when it is there
        if rubric is not None:
            subject(heat or "", read)
        if total:
            check_total(read)
    except ValueError as error:
        return str(error)
    return True

import json

import comfy.utils
import torch
from comfy_api.v0_0_2 import io, ui

from . import report
from .critic import study
from .picture import check
from .reference import paintings


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
            inputs=[
                io.Image.Input("images", tooltip="Pictures to criticise, at least 16 x 16 pixels each. Transparency is "
                                                 "ignored."),
            ],
            outputs=[
                io.Float.Output("score", tooltip="0 to 100, the mean over the batch. Paintings are spread evenly from "
                                                 "0 to 100; 95 % band ±3.4."),
                io.Float.Output("scores", is_output_list=True, tooltip="One score for each picture, as a list."),
                io.String.Output("report", tooltip="Markdown: what the score is, the strongest reasons, every "
                                                   "criterion with its measures, and what the heat map shows."),
                io.String.Output("data", tooltip="JSON, one entry for each picture: measures at 1024 px and at the "
                                                 "picture's own size (native), percentiles, criteria, "
                                                 "contributions."),
                io.Image.Output("chart", tooltip="One chart for each picture: where its measures lie among the "
                                                 "paintings, and the points each criterion gives or takes."),
                io.Image.Output("heatmap", tooltip="Each picture in grey under the places that add most to its most "
                                                   "unusual measure, which the caption names."),
            ],
        )

    @classmethod
    def execute(cls, images):
        check(images)
        reference, progress = paintings(), comfy.utils.ProgressBar(len(images))
        studies, charts, heatmaps = [], [], []
        for image in images.split(1):
            done, chart, heatmap = study(image, reference)
            studies.append(done)
            charts.append(chart)
            heatmaps.append(heatmap)
            progress.update(1)
        scores = [done.critique.score for done in studies]
        charts = torch.cat(charts)
        shown = {**ui.PreviewImage(charts, cls=cls).as_dict(), "text": (report.summary(scores, reference),)}
        return io.NodeOutput(sum(scores) / len(scores), scores, report.write(studies, reference),
                             json.dumps([report.data(done) for done in studies]), charts, torch.cat(heatmaps), ui=shown)

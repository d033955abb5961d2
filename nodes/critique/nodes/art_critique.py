import uuid

from comfy_api.v0_0_2 import io

from .critique_inputs import reference_input, rubric_input, rubric_sentence


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
            search_aliases=["aesthetic score", "art score", "composition", "rate image", "image quality", "heat map",
                            "palette", "colour palette", "color palette", "dominant colors", "colour harmony",
                            "color theory", "rule of thirds", "symmetry", "balance", "contrast", "saliency",
                            "critique", "feedback on picture", "compare pictures"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("images", tooltip="Pictures to criticise, at least 16 x 16 pixels each. Transparency is "
                                                 "ignored."),
                rubric_input(),
                reference_input(),
                io.Mask.Input("mask", optional=True,
                              tooltip="White marks the part to judge: the smallest rectangle that holds it is cut out "
                                      "and criticised as a picture of its own."),
                io.Image.Input("depth", optional=True,
                               tooltip="A depth map, bright where it is near, as the depth nodes draw it. Space is "
                                       "then measured with it."),
                io.Boolean.Input("counterfactuals", default=True, optional=True, advanced=True,
                                 tooltip="Also say what to try: the smallest crop, value curve, saturation or turn of "
                                         "the hues that would raise the weakest criteria, shown before and after. "
                                         "Takes a few seconds a picture; of more than four, the first four."),
                io.Boolean.Input("in_metadata", default=False, optional=True, advanced=True,
                                 tooltip="Put the critique into the PNG files that later nodes save. Save from the "
                                         "images output, so that it is there in time."),
                io.String.Input("heat", default="", optional=True, advanced=True,
                                tooltip="The criterion or measure whose heat map to show, such as `Texture`. Empty: "
                                        "the first reason that has places. One that belongs to the picture as a whole "
                                        "is mapped by hiding place after place, which takes up to a minute a picture."),
                io.String.Input("drawn", default="", optional=True, advanced=True,
                                tooltip="Which pictures of a batch get a chart and a heat map: all, or numbers and "
                                        "ranges such as 1, 5, 9-12. Empty: all of up to 16, else 16 spread evenly."),
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
                io.Image.Output("chart", tooltip="One chart for each drawn picture: where its measures lie among the "
                                                 "paintings, and the points each criterion gives or takes."),
                io.Image.Output("heatmap", tooltip="Each drawn picture in grey under the places that add most to the "
                                                   "measure of the first reason that has places, or to what heat "
                                                   "asks for; the caption names it."),
                io.Image.Output("images", tooltip="The pictures as they came in, after they were criticised."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None, heat=None, drawn=None):
        from .drawn_pictures import read
        try:
            read(drawn or "")
        except ValueError as error:
            return str(error)
        return rubric_sentence(rubric, heat=heat)

    @classmethod
    def fingerprint_inputs(cls, in_metadata=False, **inputs):
        # What the critique adds to a prompt is gone with that prompt, so it has to run in each. The host writes this
        # into the file as well: NaN, the usual answer, is no JSON.
        return uuid.uuid4().hex if in_metadata else 0

    @classmethod
    def execute(cls, images, rubric="", reference=None, mask=None, depth=None, counterfactuals=False,
                in_metadata=False, heat="", drawn=""):
        from . import art_critique_run
        return art_critique_run.criticise(cls, images, rubric, reference, mask, depth, counterfactuals, in_metadata,
                                          heat, drawn)

"""The node that says what is trained."""
from comfy_api.v0_0_2 import io

from .ranges import check_ranges

Shape = io.Custom("BOTTEGA_ADAPTER")
ALGORITHMS = ["LoRA", "LoCon", "DoRA", "LoHa", "LoKr", "OFT"]
FORMATS = ["native", "kohya", "diffusers"]
TARGETS_TOOLTIP = """Rank of each block, such as: L*.attn=16; L18-L25.mlp=8@2e-5; default=0
A number after @ is the learning rate there. A block means its attention and feed-forward layers, a part such as
D03.attn or L*.mod every layer of that part; default is the rest. Names come from the model, as in Load LoRA.
Empty: the attention and feed-forward layers of every block, at the rank above."""


class Adapter(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaAdapter",
            display_name="LoRA Shape",
            category="bottega/training",
            description="What Train LoRA trains: the algorithm, its size, and which layers of the model it touches.",
            search_aliases=["adapter", "lora rank", "network dim", "locon", "loha", "lokr", "dora", "oft", "lycoris",
                            "lora targets", "lora type", "pissa"],
            inputs=[
                io.Combo.Input("algorithm", options=ALGORITHMS, default="LoRA",
                               tooltip="LoRA suits most. LoCon also trains convolutions (SD1.5, SDXL). DoRA gives each "
                                       "input a strength of its own. LoHa and LoKr reach a higher rank in a smaller "
                                       "file. OFT turns outputs and adds nothing."),
                io.Int.Input("rank", default=16, min=1, max=4096,
                             tooltip="Size of the LoRA. For OFT the size of the groups of outputs that turn."),
                io.Float.Input("alpha", default=0.0, min=0.0, max=4096.0, step=0.5,
                               tooltip="The change is multiplied by alpha / rank. 0 is the rank of each layer, so by "
                                       "1, and a learning rate means the same at every rank. It is never trained."),
                io.String.Input("targets", default="", multiline=True, tooltip=TARGETS_TOOLTIP),
                io.Combo.Input("scaling", optional=True,
                               options=["alpha / rank", "alpha / sqrt(rank)"], default="alpha / rank",
                               advanced=True, tooltip="The second is rsLoRA's, steadier at high ranks. The file holds "
                                                      "an alpha that gives the same in every loader."),
                io.Combo.Input("start", optional=True, options=["zero", "PiSSA"], default="zero", advanced=True,
                               tooltip="PiSSA starts from the largest components of each weight and learns faster; "
                                       "its file has twice the rank."),
                io.Float.Input("lora_plus_ratio", optional=True,
                               default=1.0, min=1.0, max=64.0, step=1.0, advanced=True,
                               tooltip="LoRA+: how much faster the half that starts at zero learns. 16 is usual, with "
                                       "a lower learning rate."),
                io.Float.Input("rank_dropout", optional=True, default=0.0, min=0.0, max=0.9, step=0.05, advanced=True,
                               tooltip="Share of the ranks each step leaves out. 0.1 holds back overfitting."),
                io.Float.Input("module_dropout", optional=True, default=0.0, min=0.0, max=0.9, step=0.05, advanced=True,
                               tooltip="Share of the layers each step leaves out."),
                io.Int.Input("lokr_factor", optional=True, default=0, min=0, max=4096, advanced=True,
                             tooltip="LoKr: largest side of its small matrix; smaller makes the LoRA larger. 0 splits "
                                     "evenly."),
                io.Float.Input("oft_constraint", optional=True, default=0.0, min=0.0, max=1e4, step=0.1, advanced=True,
                               tooltip="OFT: how far a layer may turn, as a norm. 0 is unbounded."),
                io.Combo.Input("format", optional=True, options=FORMATS, default="native", advanced=True,
                               tooltip="Names in the file. ComfyUI reads all three; other programs want kohya's or "
                                       "diffusers' names."),
            ],
            outputs=[
                Shape.Output("adapter", tooltip="For the adapter input of Train LoRA."),
            ],
        )

    @classmethod
    def validate_inputs(cls, targets=None):
        from ..model.targets import check_targets
        try:
            check_targets(targets or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, algorithm, rank, alpha, targets, scaling="alpha / rank", start="zero", lora_plus_ratio=1.0,
                rank_dropout=0.0, module_dropout=0.0, lokr_factor=0, oft_constraint=0.0, format="native"):
        from ..adapters.lora_shape import LoraShape, settings_for
        check_ranges(cls, {"rank": rank, "alpha": alpha, "lora_plus_ratio": lora_plus_ratio,
                           "rank_dropout": rank_dropout, "module_dropout": module_dropout, "lokr_factor": lokr_factor,
                           "oft_constraint": oft_constraint})
        settings = settings_for(algorithm, {
            "rank_stabilised": ("scaling", scaling == "alpha / sqrt(rank)"), "pissa": ("start", start == "PiSSA"),
            "factor": ("lokr_factor", lokr_factor), "constraint": ("oft_constraint", oft_constraint)})
        return io.NodeOutput(LoraShape(algorithm, rank, alpha, targets, settings, lora_plus_ratio, rank_dropout,
                                       module_dropout, format))

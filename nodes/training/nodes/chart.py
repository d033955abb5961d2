"""The node that draws a training."""
from comfy_api.v0_0_2 import io


class TrainingChart(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaTrainingChart",
            display_name="Training Chart",
            category="bottega/training",
            description="Draws the losses of a training with their trend, and the validation loss and the learning "
                        "rate where the training recorded them.",
            search_aliases=["loss graph", "loss curve", "plot loss", "training curve", "tensorboard"],
            inputs=[
                io.LossMap.Input("loss_map", tooltip="The losses, from Train LoRA or from ComfyUI's own Train LoRA."),
            ],
            outputs=[
                io.Image.Output("image", tooltip="The chart, 960 pixels wide."),
            ],
        )

    @classmethod
    def execute(cls, loss_map):
        from ..monitoring.training_chart import training_chart
        return io.NodeOutput(training_chart(loss_map))

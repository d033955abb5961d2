"""The training nodes."""
from comfy_api.v0_0_2 import io, ui

from .dataset import from_core_nodes
from .output import file_stem
from .progress import Progress
from .report import training_report
from .run import train
from .settings import Settings

Dataset = io.Custom("BOTTEGA_DATASET")


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
        return io.NodeOutput(from_core_nodes(latents, positive))


class TrainLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaTrainLora",
            display_name="Train LoRA",
            category="bottega/training",
            description="Trains a LoRA on the connected model, checks its gradients first, and saves it where the "
                        "LoRA loaders find it. Cancel keeps what was reached.",
            search_aliases=["lora training", "fine-tune", "finetune", "learn style", "dreambooth", "trainer"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model to train on. LoRAs already on it stay active and are not "
                               "part of the result; the model itself is left as it was."),
                Dataset.Input("dataset", tooltip="The pictures and captions to learn from."),
                io.Int.Input("steps", default=1000, min=1, max=1_000_000,
                             tooltip="How many updates to make. 1000 to 2000 suit 10 to 40 pictures."),
                io.Int.Input("batch_size", default=1, min=1, max=1024,
                             tooltip="Pictures per step. More give a calmer gradient and cost time and memory."),
                io.Float.Input("learning_rate", default=1e-4, min=1e-8, max=1.0, step=1e-8, round=1e-8,
                               tooltip="Size of an update. 0.0001 suits most models; small models bear 0.001."),
                io.Int.Input("rank", default=16, min=1, max=1024,
                             tooltip="Size of the LoRA: what it can hold, and how large the file gets."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True,
                             tooltip="Seed of the start weights, the order of pictures, noise and timesteps. The "
                                     "same seed on the same machine gives the same LoRA."),
                io.String.Input("name", default="my_lora",
                                tooltip="File name in output/loras, without folder or ending. An existing file is "
                                        "never overwritten: a number is added."),
            ],
            outputs=[
                io.LoraModel.Output("lora", tooltip="The trained LoRA, for Load LoRA Model or Save LoRA Weights."),
                io.LossMap.Output("loss_map", tooltip="The loss of every step, for Plot Loss Graph."),
                io.String.Output("report", tooltip="What was trained, how, and what it reached, in Markdown."),
                io.String.Output("path", tooltip="The file the LoRA was saved to."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name=None):
        try:
            if name is not None:
                file_stem(name)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, model, dataset, steps, batch_size, learning_rate, rank, seed, name):
        settings = Settings(steps, batch_size, learning_rate, rank, seed)
        trained = train(model, dataset, settings, name, Progress(steps, cls.hidden.unique_id))
        report = training_report(trained, dataset, settings)
        return io.NodeOutput(trained.tensors, {"loss": trained.losses}, report, trained.path, ui=ui.PreviewText(report))

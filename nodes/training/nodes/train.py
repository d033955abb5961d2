"""The node that trains."""
from comfy_api.v0_0_2 import io, ui

from .adapter import Shape
from .dataset import Dataset
from .ranges import check_ranges
from .recipe import Recipe

Critic = io.Custom("BOTTEGA_TRAINING_CRITIC")

# What trains is imported when it does: ComfyUI's start should not wait for it.


class TrainLora(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaTrainLora",
            display_name="Train LoRA",
            category="bottega/training",
            description="Trains a LoRA on the connected model, checks its gradients first, and saves it where the "
                        "LoRA loaders find it. Cancel keeps what was reached, and resume goes on from there.",
            search_aliases=["lora training", "fine-tune", "finetune", "learn style", "dreambooth", "trainer", "train",
                            "train lora", "training", "learn", "style training", "character lora"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                io.Model.Input("model", tooltip="The model to train on. LoRAs already on it stay active and are not "
                               "part of the result; the model itself is left as it was."),
                Dataset.Input("dataset", tooltip="The pictures and captions to learn from."),
                io.Int.Input("steps", default=1000, min=1, max=1_000_000,
                             tooltip="How many updates to make. 1000 to 2000 suit 10 to 40 pictures."),
                io.Int.Input("batch_size", default=1, min=1, max=1024,
                             tooltip="Pictures per step. More give a calmer gradient and cost time and memory."),
                io.Float.Input("learning_rate", default=0.0, min=0.0, max=10.0, step=1e-8, round=1e-8,
                               tooltip="Size of an update. 0 takes what is usual for the model's family and the "
                               "optimizer, 0.0001 for most models; the report says which."),
                io.Int.Input("rank", default=0, min=0, max=1024,
                             tooltip="Size of the LoRA: what it can hold, and how large the file gets. 0 takes what "
                             "is usual for the model's family, 16 for most."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF,
                             control_after_generate=io.ControlAfterGenerate.fixed,
                             tooltip="Seed of the start weights, the order of pictures, noise and timesteps. The "
                                     "same seed on the same machine gives the same LoRA."),
                io.String.Input("name", default="my_lora",
                                tooltip="File name in output/loras, without folder or ending. An existing file is "
                                        "never overwritten: a number is added."),
                Shape.Input("adapter", optional=True, tooltip="What to train, from LoRA Shape; its rank is used "
                                  "instead of the one here. Without it a plain LoRA."),
                Recipe.Input("recipe", optional=True, tooltip="How to train, from Training Recipe. Without it "
                                   "the usual recipe of the model's family."),
                io.Conditioning.Input("sample_prompts", optional=True,
                                      tooltip="Prompts to draw while training, a picture each, from the same noise "
                                      "every time. Join several with Conditioning (Combine)."),
                io.String.Input("resume", default="", optional=True,
                                tooltip="Go on with a run that was cancelled or ended: the name of its folder in "
                                "output/training, or one of its states such as my_lora/step_00000250. A LoRA's name "
                                "starts from that LoRA instead. Empty starts anew."),
                io.Vae.Input("vae", optional=True, tooltip="Decodes the sample pictures. Without it they are the "
                             "host's quick previews of the latents."),
                io.Clip.Input("clip", optional=True, tooltip="The text encoders, when they are to be trained too: "
                              "where targets of LoRA Shape names them (TE.*=8). Needs captions from Training Set."),
                Critic.Input("critic", optional=True, tooltip="From Training Critic. It judges the sample "
                                   "pictures, and the LoRA is that of the step it liked best; the last one is kept "
                                   "beside it."),
                io.Float.Input("critic_weighting", default=0.0, min=0.0, max=4.0, step=0.1, optional=True,
                               tooltip="How much more the pictures of the data set count that the critic likes. 1: e "
                               "times as much for one standard deviation of score, from a quarter to four times. 0: "
                               "all alike."),
                io.String.Input("devices", default="1", optional=True,
                                tooltip="Devices of this machine that share each batch: 1, a number, all, or a list "
                                "of numbers such as 0,2. batch_size stays the pictures of a step over all of them. On "
                                "the CPU a number of processes. The report says what they gained."),
                io.Boolean.Input("share_base", default=False, optional=True,
                                 tooltip="For a model that does not fit one card: each of the devices keeps a slice of "
                                 "its blocks, and they put one block at a time together. The LoRA is the same; a step "
                                 "takes longer."),
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
        from ...lora.saving.output_file import check_name
        return check_name(name)

    @classmethod
    def fingerprint_inputs(cls, resume="", **others):
        """A state that has moved on is another input."""
        from ..disk.checkpoint import state_version
        return state_version(resume)

    @classmethod
    def execute(cls, model, dataset, steps, batch_size, learning_rate, rank, seed, name, adapter=None, recipe=None,
                sample_prompts=None, resume="", vae=None, clip=None, critic=None, critic_weighting=0.0, devices="1",
                share_base=False):
        from ..data.dataset import Lazy
        from ..distributed.joining import Asked, team_for
        from ..monitoring.progress import Progress
        from ..plan.recipe import Recipe as Plan
        from ..plan.settings import Settings
        from ..training_report import training_report
        from ..training_run import train
        check_ranges(cls, {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "rank": rank,
                           "seed": seed, "critic_weighting": critic_weighting})
        settings = Settings(steps, batch_size, learning_rate, rank, seed, recipe or Plan())
        progress = Progress(steps, cls.hidden.unique_id, cls.hidden)
        sent = {"dataset": dataset, "steps": steps, "batch_size": batch_size, "learning_rate": learning_rate,
                "rank": rank, "seed": seed, "name": name, "adapter": adapter, "recipe": recipe,
                "share_base": share_base}
        asked = Asked(devices, settings.recipe.exact, batch_size, model.load_device, cls.hidden, sent, progress.say,
                      ("dataset",) if isinstance(dataset.samples, Lazy) else ())      # it lies on the disk
        with team_for(asked) as team:
            trained = train(model, dataset, settings, name, progress, adapter, sample_prompts=sample_prompts,
                            resume=resume, vae=vae, clip=clip, critic=critic, critic_weighting=critic_weighting,
                            team=team, share_base=share_base)
        report = training_report(trained, dataset, settings)
        return io.NodeOutput(trained.tensors, trained.loss_map, report, trained.path, ui=ui.PreviewText(report))

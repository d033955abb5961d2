"""The node that trains a LoRA with the critique as its goal."""
from math import inf

import comfy.samplers
import folder_paths
from comfy_api.v0_0_2 import io

from ...lora.file.lora_files import listed_version
from ...shared.node_display import picture_and_text
from ..gradient import CHOICES
from . import interrupted
from .lora_inputs import lora_file
from .shared_inputs import REFERENCE, ReferenceType, check_numbers, check_rubric

NEW = "none: start a new LoRA"
METHODS = ["DRaFT: the last steps", "ReFL: one random step"]
RUBRIC = ("What to reward, as in Art Critique, such as `Balance=high` or `Value>70`. Where it names criteria, only "
          "they count; empty or a critic's name: all that can be moved.")


class CriticTrain(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaCriticTrain",
            display_name="Train with the Critic",
            category="bottega/studio",
            description="Trains a LoRA, a new one or one to go on from, so that the pictures of these prompts earn "
                        "more under a rubric, and shows held-out ones before and after. Cancel keeps what was reached.",
            search_aliases=["reward fine-tuning", "draft-k", "refl", "rlhf", "preference", "aesthetic lora",
                            "reward lora", "continue lora", "train with reward"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            inputs=[
                io.Model.Input("model", tooltip="The model to train on, without the LoRA that is to go on. LoRAs on it "
                                                "stay active and are not part of the result."),
                io.Conditioning.Input("positive", tooltip="Prompts to train on; each of those joined by Conditioning "
                                                          "(Combine) is one by itself."),
                io.Conditioning.Input("negative", tooltip="What to guide away from; its first prompt is used."),
                io.Latent.Input("latent_image", tooltip="Size of the pictures; the first of a batch is used."),
                io.Int.Input("steps", default=100, min=1, max=1_000_000, tooltip="How many updates to make."),
                io.Int.Input("batch_size", default=2, min=1, max=1024,
                             tooltip="Pictures an update is averaged over. Each has a seed of its own."),
                io.Float.Input("learning_rate", default=0.0, min=0.0, max=10.0, step=1e-8, round=1e-8,
                               tooltip="Size of an update. 0 takes what is usual for the model's family."),
                io.Int.Input("rank", default=0, min=0, max=1024,
                             tooltip="Size of a new LoRA. 0: 16. One to go on from keeps its own."),
                io.Combo.Input("method", options=METHODS, default=METHODS[0],
                               tooltip="DRaFT samples to the end and learns through the last steps. ReFL learns "
                                       "through one random step of the later half, which moves larger forms."),
                io.Int.Input("last_steps", default=1, min=1, max=1000,
                             tooltip="DRaFT: how many of the last steps the gradient runs through. More reach larger "
                                     "forms and take as many times the memory."),
                io.Float.Input("penalty", default=10.0, min=0.0, max=1000.0, step=0.1,
                               tooltip="How strongly the predictions are held near those of the LoRA it starts as: a "
                                       "mean square distance of 1 costs so many times 100 points. 0: not at all."),
                io.String.Input("rubric", default="", multiline=True, tooltip=RUBRIC),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF,
                             control_after_generate=io.ControlAfterGenerate.fixed,
                             tooltip="Seed of the first picture, the others follow; it alone decides the result."),
                io.String.Input("name", default="my_lora_critic", tooltip="File name in output/loras. An existing file "
                                "is never overwritten: a number is added."),
                io.Int.Input("sampling_steps", default=20, min=1, max=10000, tooltip="Euler steps of each picture."),
                io.Float.Input("cfg", default=4.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance, as in KSampler."),
                io.Combo.Input("scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="simple",
                               tooltip="As in KSampler."),
                io.Int.Input("seeds", default=2, min=0, max=4096,
                             tooltip="Pictures of each prompt that are judged before and after: as many of the seeds "
                                     "trained on, and as many held out. 0: none."),
                io.Conditioning.Input("held_out", optional=True, tooltip="Prompts that are not trained on, to be "
                                      "judged before and after. Without them those of positive, with other seeds."),
                io.LoraModel.Input("lora", optional=True, tooltip="A LoRA from memory to go on from."),
                io.Combo.Input("lora_name", options=[NEW, *folder_paths.get_filename_list("loras")], default=NEW,
                               optional=True, tooltip="Or its file. Ignored when lora is connected."),
                io.Vae.Input("vae", optional=True, tooltip="Decodes the pictures, for the reward as well. Without it "
                             "the host's quick colours of latents stand for them."),
                ReferenceType.Input("reference", optional=True, tooltip=REFERENCE),
                io.String.Input("resume", default="", optional=True,
                                tooltip="Go on with a run that was cancelled or ended: the name of its folder in "
                                "output/training, with everything else as it was."),
                io.Combo.Input("decoder", options=list(CHOICES), default="auto", optional=True,
                               tooltip="How the reward sees pictures: through the connected VAE (exact), TAESD from "
                                       "models/vae_approx, a linear map fitted to the VAE (cheap, fine), or the host's "
                                       "colours (cheap, coarse). auto: the VAE if one is connected, else the colours, "
                                       "else TAESD. Scores before and after are of whole pictures all the same."),
                io.String.Input("devices", default="1", optional=True, tooltip="Devices of this machine that share the "
                                "pictures of each step: 1, a number, all, or a list of numbers such as 0,2. On the CPU "
                                "a number of processes."),
                io.Boolean.Input("share_base", default=False, optional=True,
                                 tooltip="For a model that does not fit one card: each of the devices keeps a slice of "
                                 "its blocks, and they put one block at a time together. The LoRA is the same; a step "
                                 "takes longer."),
            ],
            outputs=[
                io.LoraModel.Output("lora", tooltip="The trained LoRA, for Load LoRA or Save LoRA."),
                io.LossMap.Output("loss_map", tooltip="The loss of every step, for Training Chart."),
                io.String.Output("report", tooltip="Markdown: reward and score before and after, what became of the "
                                                   "criteria that were not aimed at, and how far the LoRA has moved."),
                io.String.Output("path", tooltip="The file the LoRA was saved to."),
                io.Image.Output("before_after", tooltip="The judged pictures before and after, held-out ones first."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None, name=None):
        from ...lora.saving.output_file import check_name
        checked = check_rubric(rubric)
        return check_name(name) if checked is True else checked

    @classmethod
    def fingerprint_inputs(cls, lora_name=None, resume="", **others):
        """A LoRA that was written anew, or a state that has moved on, is another input."""
        from ...training.disk.checkpoint import state_version
        return listed_version(lora_name), state_version(resume), interrupted.cuts(cls.hidden.unique_id)

    @classmethod
    def execute(cls, model, positive, negative, latent_image, steps, batch_size, learning_rate, rank, method,
                last_steps, penalty, rubric, seed, name, sampling_steps, cfg, scheduler, seeds, held_out=None,
                lora=None, lora_name=None, vae=None, reference=None, resume="", decoder="auto", devices="1",
                share_base=False):
        from ...critique.reference.distributions import paintings
        from ...critique.rubric.rubric_language import parse
        from ...training.distributed.joining import Asked, team_for
        from ...training.plan.settings import Settings
        from ..critic_training import critic_training_report, critic_training_run
        from ..critic_training.critic_training_session import RewardGoal
        from ..gradient import FULL
        from ..gradient.latent_decoder import decoder as find
        from ..gradient.reward import reward_of_named
        from .shared_inputs import sampling_of
        check_numbers(steps=(steps, 1, inf), batch_size=(batch_size, 1, inf), last_steps=(last_steps, 1, inf),
                      seeds=(seeds, 0, inf), rank=(rank, 0, inf), learning_rate=(learning_rate, 0, inf),
                      penalty=(penalty, 0, inf))
        if not negative:
            raise ValueError("negative: expected a prompt, which may be empty, got none")
        sent = {"positive": positive, "negative": negative, "latent_image": latent_image, "steps": steps,
                "batch_size": batch_size, "learning_rate": learning_rate, "rank": rank, "method": method,
                "last_steps": last_steps, "penalty": penalty, "rubric": rubric, "seed": seed, "name": name,
                "sampling_steps": sampling_steps, "cfg": cfg, "scheduler": scheduler, "lora": lora,
                "lora_name": lora_name, "reference": reference, "decoder": decoder,
                "share_base": share_base}
        reference, rubric = reference or paintings(), parse(rubric)
        seen = find(model, FULL if decoder == "auto" and vae is not None else decoder, vae)
        goal = RewardGoal(reward_of_named(rubric, reference, seen.detail), seen, method, last_steps, penalty)
        sampling = sampling_of(positive, negative, latent_image, vae, sampling_steps, cfg, "euler", scheduler)
        tensors = None
        if lora is not None or lora_name not in (None, "", NEW):
            tensors = lora_file(lora, lora_name)[0].tensors
        settings = Settings(steps, batch_size, learning_rate, rank, seed, critic_training_run.RECIPE)
        request = critic_training_run.CriticTrainingRequest(
            tensors, sampling, goal, rubric, reference, settings, name, held_out or [], seeds, resume,
            share_base
        )
        progress = critic_training_run.RewardProgress(steps, cls.hidden.unique_id, cls.hidden)
        asked = Asked(devices, False, batch_size, model.load_device, cls.hidden, sent, progress.say)
        with team_for(asked) as team:
            done = critic_training_run.train(model, request, progress, team)
        interrupted.note(cls.hidden.unique_id, done.cancelled or len(done.after) < len(done.before))
        text, sheet = critic_training_report.report(done, request), critic_training_report.contact_sheet(done)
        shown = picture_and_text(cls, sheet, text)
        return io.NodeOutput(done.tensors, done.loss_map, text, done.path, sheet, ui=shown)

"""The node that says how to train."""
import folder_paths
from comfy_api.v0_0_2 import io

from ..averaging.power_function_ema import LONGEST, SHORTEST
from ..plan import recipe as plans
from ..plan.distilled import CHOICES as DISTILLED_CHOICES
from .ranges import check_length, check_ranges

Recipe = io.Custom("BOTTEGA_RECIPE")
AUTOMATIC, AS_THE_MODEL, NO_LORA = "automatic", "as the model", "none"


class TrainingRecipe(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaRecipe",
            display_name="Training Recipe",
            category="bottega/training",
            description="How Train LoRA trains. What stays automatic is the usual recipe of the model's family, and "
                        "the report says what that was and why.",
            search_aliases=["optimizer", "scheduler", "learning rate schedule", "min snr", "ema", "timesteps",
                            "validation", "training settings", "learning rate", "hyperparameters", "adamw", "prodigy"],
            inputs=[*_optimizer_inputs(), *_schedule_inputs(), *_timestep_inputs(), *_loss_inputs(),
                    *_keeping_inputs(), *_rare_inputs()],
            outputs=[
                Recipe.Output("recipe", tooltip="The recipe, for Train LoRA."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, base_lora=NO_LORA, **others):
        """A LoRA that was written anew is another input."""
        from ...lora.file.lora_files import listed_version
        return listed_version(base_lora)

    @classmethod
    def execute(cls, **values):
        # All inputs are optional, so that workflows saved before one was added keep working.
        usual = {slot.id: slot.default for slot in cls.define_schema().inputs}
        recipe = recipe_from({**usual, **values})       # whose sentences say more than those of the ranges
        check_ranges(cls, values)
        return io.NodeOutput(recipe)


def recipe_from(values: dict):
    """A Recipe from the node's inputs by name. Raises ValueError for a range of noise that is empty."""
    v = values
    low, high = v["min_timestep"], v["max_timestep"]
    if not low < high:
        raise ValueError(f"min_timestep, max_timestep: expected min_timestep below max_timestep, got {low:g} and "
                         f"{high:g}.")
    return plans.Recipe(
        optimizer=_optimizer(v),
        schedule=plans.SchedulePlan(_chosen(v["schedule"]), None if v["warmup_steps"] < 0 else v["warmup_steps"],
                                    v["final_rate"], v["schedule_cycles"]),
        timesteps=plans.TimestepPlan(_chosen(v["timesteps"]), _shift(v["shift"], v["shift_value"]), low, high,
                                     v["timestep_strata"], _chosen(v["expert"])),
        loss=plans.LossPlan(_chosen(v["weighting"]), v["snr_gamma"], v["loss"], v["huber_delta"], v["huber_schedule"],
                            v["noise_offset"], v["prior_outside_mask"], v["regularisation_weight"]),
        validation=plans.ValidationPlan(v["validation_pictures"], v["validation_every"]),
        checkpoints=plans.CheckpointPlan(v["checkpoint_every"], v["checkpoints_kept"], v["checkpoint_loras"]),
        samples=plans.SamplePlan(v["sample_every"], v["sample_steps"], v["sample_cfg"]),
        ema=v["ema_decay"], guidance=v["guidance"], metadata=v["metadata"],
        ema_length=check_length("ema_length", v["ema_length"]),
        second_ema_length=_second(v["ema_length"], v["second_ema_length"]),
        prediction=None if v["prediction"] == AS_THE_MODEL else v["prediction"],
        base_lora="" if v["base_lora"] == NO_LORA else v["base_lora"], distilled=v["distilled"],
        exact=v["exact"])


def _optimizer(v):
    may_shrink = v["optimizer"] == plans.IF_NEEDED
    return plans.OptimizerPlan("adamw" if may_shrink else v["optimizer"], (v["beta1"], v["beta2"]), v["weight_decay"],
                               v["clip_norm"], v["accumulation"], may_shrink)


def _second(length, second):
    if second and (not SHORTEST <= second <= LONGEST or not length or second == length):
        raise ValueError(f"second_ema_length: expected 0, or {SHORTEST} to {LONGEST} beside another ema_length, got "
                         f"{second:g} beside {length:g}.")
    return second


def _chosen(value):
    return None if value == AUTOMATIC else value


def _shift(kind, value):
    return value if kind == "fixed" else _chosen(kind)


def _combo(name, options, default, tooltip, **more):
    return io.Combo.Input(name, options=list(options), default=default, optional=True, tooltip=tooltip, **more)


def _number(name, default, low, high, step, tooltip, **more):
    kind = io.Int if isinstance(default, int) else io.Float
    return kind.Input(name, default=default, min=low, max=high, step=step, optional=True, tooltip=tooltip,
                      **({} if kind is io.Int else {"round": False}), **more)


def _optimizer_inputs():
    return [
        _combo("optimizer", (*plans.OPTIMIZERS, plans.IF_NEEDED), "adamw",
               "adamw suits nearly everything; prodigy and schedule_free need less tuning. adamw_8bit needs the "
               "package bitsandbytes, lion and came pytorch-optimizer, prodigy prodigyopt, schedule_free schedulefree. "
               "adamw_8bit_if_needed is adamw, and becomes adamw_8bit where nothing else makes the training fit the "
               "card; the report says so."),
        _number("accumulation", 1, 1, 1024, 1, "Batches an update averages over: as a larger batch, for time instead "
                "of memory."),
        _number("ema_decay", 0.0, 0.0, 0.99999, 0.001, "Keeps an average of the weights instead of the last ones, such "
                "as 0.99. 0 keeps the last."),
    ]


def _schedule_inputs():
    return [
        _combo("schedule", (AUTOMATIC, *plans.SCHEDULES), AUTOMATIC,
               "How the learning rate falls after the warm-up. Automatic is cosine, constant for schedule_free."),
        _number("warmup_steps", -1, -1, 100_000, 1, "Steps in which the rate rises to its peak. -1 takes a twentieth "
                "of the run, 100 at most."),
        _number("final_rate", 0.1, 0.0, 1.0, 0.01, "Share of the learning rate that is left at the end."),
    ]


def _timestep_inputs():
    return [
        _combo("timesteps", (AUTOMATIC, *plans.DENSITIES), AUTOMATIC,
               "Which noise levels are trained on. Automatic is logit_normal for flow models and uniform for others."),
        _combo("shift", (AUTOMATIC, *plans.SHIFTS, "fixed"), AUTOMATIC,
               "Moves a flow model's noise levels towards more noise: the model's own shift, by the size of the "
               "pictures, none, or shift_value. Automatic is what the family is usually trained with."),
        _number("shift_value", 3.0, 0.01, 100.0, 0.1, "The shift when it is fixed; 1 is none."),
        _number("min_timestep", 0.0, 0.0, 1.0, 0.005, "Least share of noise that is trained on. For Wan 2.2's experts "
                "see expert."),
        _number("max_timestep", 1.0, 0.0, 1.0, 0.005, "Largest share of noise that is trained on."),
    ]


def _loss_inputs():
    return [
        _combo("weighting", (AUTOMATIC, *plans.WEIGHTINGS), AUTOMATIC,
               "How much each noise level counts. Automatic is none for flow models and min_snr for others."),
        _combo("loss", plans.LOSSES, "mse", "mse, or one that forgives odd pictures: huber and smooth_l1."),
        _number("noise_offset", 0.0, 0.0, 1.0, 0.01, "Shifts the noise of whole channels, so that dark and bright "
                "pictures are learnt. 0.03 to 0.1 for SD1.5 and SDXL."),
        _number("prior_outside_mask", 0.0, 0.0, 10.0, 0.1, "Where a picture's mask is black: how strongly to stay with "
                "the untrained model there. 0 leaves it free."),
        _number("regularisation_weight", 1.0, 0.0, 10.0, 0.1, "How much regularisation pictures count."),
    ]


def _keeping_inputs():
    return [
        _number("validation_pictures", 0, 0, 1000, 1, "Pictures held out to see overfitting by; they are not learnt "
                "from."),
        _number("validation_every", 100, 1, 100_000, 1, "Steps between two validations."),
        _number("checkpoint_every", 250, 0, 100_000, 1, "Steps between two states in output/training, which resume "
                "goes on from; never longer than 10 minutes. 0 saves at the end only."),
        _number("checkpoints_kept", 2, 1, 1000, 1, "How many states stay on disk."),
        io.Boolean.Input("checkpoint_loras", default=False, optional=True,
                         tooltip="Saves a LoRA beside each state, to compare."),
        _number("sample_every", 0, 0, 100_000, 1, "Steps between two rounds of sample pictures. 0 draws ten rounds."),
        _number("sample_steps", 20, 1, 1000, 1, "Sampling steps of a sample picture."),
        _number("sample_cfg", 0.0, 0.0, 100.0, 0.1, "Guidance of sample pictures. 0 takes 4, and 1 for "
                "guidance-distilled models."),
    ]


def _rare_inputs():
    return [
        _number("clip_norm", 1.0, 0.0, 1000.0, 0.1, "Largest norm of a gradient. 0 does not clip.", advanced=True),
        _number("weight_decay", 0.01, 0.0, 10.0, 0.001, "Pulls the weights towards zero.", advanced=True),
        _number("beta1", 0.9, 0.0, 0.99999, 0.01, "How long AdamW remembers the gradient.", advanced=True),
        _number("beta2", 0.99, 0.0, 0.99999, 0.001, "How long AdamW remembers the gradient's size.", advanced=True),
        _number("schedule_cycles", 3, 1, 1000, 1, "Cycles of cosine_restarts.", advanced=True),
        _number("snr_gamma", 5.0, 0.01, 100.0, 0.1, "Where min_snr and soft_min_snr level off.", advanced=True),
        _number("huber_delta", 0.1, 0.0001, 100.0, 0.01, "Error at which huber and smooth_l1 turn straight.",
                advanced=True),
        _combo("huber_schedule", plans.DELTA_SCHEDULES, "constant", "How huber_delta falls with the noise.",
               advanced=True),
        _number("timestep_strata", 8, 1, 1000, 1, "Ranges of noise that take turns, so that single steps vary less. 1 "
                "draws freely.", advanced=True),
        _number("guidance", 1.0, 0.0, 100.0, 0.1, "What guidance-distilled models such as Flux.1-dev are told unless a "
                "caption sets it.", advanced=True),
        _combo("expert", (AUTOMATIC, "none", *plans.EXPERTS), AUTOMATIC,
               "Which of Wan 2.2's two experts the connected model is. It is trained on its own part of the noise, and "
               "its files end in _high or _low. Automatic goes by the name of the model's file."),
        _combo("metadata", plans.METADATA, "full", "What the LoRA file says of its making. full: settings, seed, dates "
               "and the captions cut at their commas. tags only: the captions so cut. none: only what loaders need.",
               advanced=True),
        _number("ema_length", 0.0, 0.0, LONGEST, 0.005, "Keeps an average whose length grows with the training, as a "
                "share of it, such as 0.1; instead of ema_decay. Average Checkpoints makes others of it. 0: none.",
                advanced=True),
        _combo("prediction", (AS_THE_MODEL, *plans.PREDICTIONS), AS_THE_MODEL,
               "What an SD1.5 or SDXL model is taught to predict. Another than its own takes many more steps, and the "
               "LoRA then samples right only behind the node that its file and the report name, such as "
               "ModelSamplingSD3 for flow.", advanced=True),
        _combo("base_lora", (NO_LORA, *folder_paths.get_filename_list("loras")), NO_LORA,
               "A LoRA that is on while training, and off in the sample pictures and in the file: one that undoes the "
               "distillation of a turbo model (a training adapter), so that the model still draws in few steps "
               "afterwards."),
        _combo("distilled", DISTILLED_CHOICES, DISTILLED_CHOICES[0],
               "Whether the model was distilled to few steps, and which. Sample pictures are then drawn with the "
               "steps, cfg and sampler it is made for; a number set above stays. Automatic goes by its file's name."),
        io.Boolean.Input("exact", default=False, optional=True, advanced=True,
                         tooltip="The same LoRA to the last bit on 1, 2, 4 or 8 devices, and when a training goes on "
                         "on another number of them. A batch is computed in as many parts as its pictures allow, 8 at "
                         "most, which is slower on one device."),
        _number("second_ema_length", 0.0, 0.0, LONGEST, 0.005, "A second average of another length beside ema_length, "
                "such as 0.05 beside 0.1. checkpoint_loras writes both, and Average Checkpoints then makes averages of "
                "other lengths almost exactly. 0: none.", advanced=True),
    ]

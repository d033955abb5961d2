"""What a training can be told beyond its steps and rate. None stands for what suits the model's family."""
from dataclasses import dataclass

OPTIMIZERS = ("adamw", "adamw_8bit", "adafactor", "lion", "prodigy", "schedule_free", "came", "muon")
IF_NEEDED = "adamw_8bit_if_needed"     # adamw that may_shrink
SCHEDULES = ("cosine", "constant", "linear", "cosine_restarts", "polynomial", "rex")
DENSITIES = ("uniform", "logit_normal", "cosmap")
SHIFTS = ("model", "resolution", "none")
WEIGHTINGS = ("none", "min_snr", "soft_min_snr", "debiased")
LOSSES = ("mse", "huber", "smooth_l1")
DELTA_SCHEDULES = ("constant", "exponential", "snr")
EXPERTS = ("high noise", "low noise")
METADATA = ("full", "tags only", "none")
PREDICTIONS = ("flow", "v", "eps")


@dataclass(frozen=True)
class OptimizerPlan:
    """clip: largest norm of the gradient, 0 for none. accumulation: batches an update averages over. may_shrink: adamw
    may become adamw_8bit where nothing else makes the training fit."""
    name: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    accumulation: int = 1
    may_shrink: bool = False


@dataclass(frozen=True)
class SchedulePlan:
    """final: share of the learning rate that is left at the end. cycles: of cosine_restarts. None: see schedule.py."""
    shape: str | None = None
    warmup: int | None = None
    final: float = 0.1
    cycles: int = 3


@dataclass(frozen=True)
class TimestepPlan:
    """shift: "model", "resolution", "none" or a number. low, high: share of noise that is trained on, 0 to 1.
    strata: each draw comes from another of so many equally likely ranges until all had their turn. expert: of Wan 2.2,
    which has a range of its own."""
    density: str | None = None
    shift: str | float | None = None
    low: float = 0.0
    high: float = 1.0
    strata: int = 8
    expert: str | None = None


@dataclass(frozen=True)
class LossPlan:
    """outside_mask: weight of staying with the untrained model where a mask is 0. regularisation: weight of
    regularisation pictures. delta: where huber and smooth_l1 turn from square to straight."""
    weighting: str | None = None
    gamma: float = 5.0
    shape: str = "mse"
    delta: float = 0.1
    delta_schedule: str = "constant"
    noise_offset: float = 0.0
    outside_mask: float = 0.0
    regularisation: float = 1.0


@dataclass(frozen=True)
class ValidationPlan:
    """pictures: how many are held out, 0 for none. quantiles: noise levels each is measured at."""
    pictures: int = 0
    every: int = 100
    quantiles: tuple[float, ...] = (0.125, 0.375, 0.625, 0.875)


@dataclass(frozen=True)
class CheckpointPlan:
    """every: steps between two states on disk, 0 for the end only; keep: how many stay. loras: a LoRA beside each."""
    every: int = 250
    keep: int = 2
    loras: bool = False


@dataclass(frozen=True)
class SamplePlan:
    """every: steps between two rounds of sample pictures, 0 for ten rounds a run. cfg 0: 4, or 1 without guidance.
    sampler, scheduler: of the host."""
    every: int = 0
    steps: int = 20
    cfg: float = 0.0
    sampler: str = "euler"
    scheduler: str = "simple"


@dataclass(frozen=True)
class Recipe:
    """The value of a BOTTEGA_RECIPE link. ema: decay of the averaged weights, 0 for none. metadata: of METADATA, what
    files say beside what loaders need. ema_length: sigma_rel of a power-function average, kept instead, 0 for none;
    second_ema_length: of another that checkpoints hold beside it.
    prediction: of PREDICTIONS, None for the model's own. base_lora: a LoRA the host lists that is on while training, ""
    for none. distilled: how the model is used, see distilled.py. exact: a batch is computed in parts that no
    number of devices changes."""
    optimizer: OptimizerPlan = OptimizerPlan()
    schedule: SchedulePlan = SchedulePlan()
    timesteps: TimestepPlan = TimestepPlan()
    loss: LossPlan = LossPlan()
    validation: ValidationPlan = ValidationPlan()
    checkpoints: CheckpointPlan = CheckpointPlan()
    samples: SamplePlan = SamplePlan()
    ema: float = 0.0
    guidance: float = 1.0
    metadata: str = "full"
    ema_length: float = 0.0
    second_ema_length: float = 0.0
    prediction: str | None = None
    base_lora: str = ""
    distilled: str = "no"
    exact: bool = False

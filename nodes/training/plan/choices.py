"""The words a recipe chooses from."""

OPTIMIZERS = ("adamw", "adamw_8bit", "adafactor", "lion", "prodigy", "schedule_free", "came", "muon")
SCHEDULES = ("cosine", "constant", "linear", "cosine_restarts", "polynomial", "rex")
DENSITIES = ("uniform", "logit_normal", "cosmap")
SHIFTS = ("model", "resolution", "none")
WEIGHTINGS = ("none", "min_snr", "soft_min_snr", "debiased")
LOSSES = ("mse", "huber", "smooth_l1")
DELTA_SCHEDULES = ("constant", "exponential", "snr")
EXPERTS = ("high noise", "low noise")

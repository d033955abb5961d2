"""What a run is asked to do, and the recipe it follows where nobody asked."""
import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Settings:
    steps: int
    batch_size: int
    learning_rate: float
    rank: int
    seed: int
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    final_rate: float = 0.1
    guidance: float = 1.0

    @property
    def alpha(self) -> float:
        """Equal to the rank, so that the branch's scale is 1 and a learning rate means the same at every rank."""
        return float(self.rank)

    @property
    def warmup(self) -> int:
        return min(100, math.ceil(self.steps / 20))

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ...: linear warm-up, then half a cosine down to final_rate of the peak."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        floor = self.final_rate
        return self.learning_rate * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)

    def as_dict(self) -> dict:
        return {**asdict(self), "alpha": self.alpha, "warmup": self.warmup}

"""What a run is asked to do."""
from dataclasses import asdict, dataclass

from .recipe import Recipe
from .schedule import rate_factor, warmup_steps


@dataclass(frozen=True)
class Settings:
    """learning_rate and rank may be 0 until families.settle has put the family's own in their place."""
    steps: int
    batch_size: int
    learning_rate: float
    rank: int
    seed: int
    recipe: Recipe = Recipe()

    @property
    def alpha(self) -> float:
        """Equal to the rank, so that the branch's scale is 1 and a learning rate means the same at every rank."""
        return float(self.rank)

    @property
    def guidance(self) -> float:
        return self.recipe.guidance

    @property
    def warmup(self) -> int:
        return warmup_steps(self.recipe.schedule, self.steps)

    def rate(self, step: int) -> float:
        """Learning rate of step 0, 1, ..."""
        return self.learning_rate * rate_factor(self.recipe.schedule, step, self.steps)

    def as_dict(self) -> dict:
        return {**asdict(self), "alpha": self.alpha, "warmup": self.warmup}

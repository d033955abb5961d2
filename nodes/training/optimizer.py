"""AdamW over the adapters' one flat buffer."""
import torch

from .settings import Settings

FUSED_DEVICES = ("cpu", "cuda")


class FlatAdamW:
    """Clips, steps and clears the gradient of one tensor (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    def __init__(self, flat: torch.Tensor, settings: Settings):
        self.flat, self.settings = flat, settings
        self.adamw = torch.optim.AdamW([flat], betas=settings.betas, weight_decay=settings.weight_decay,
                                       fused=flat.device.type in FUSED_DEVICES)
        self.previous = flat.clone()

    def norm(self) -> torch.Tensor:
        return self.flat.grad.norm()

    def step(self, number: int, norm: float) -> None:
        """Applies step `number` with the gradient scaled down to norm settings.clip if it is larger."""
        if norm > self.settings.clip:
            self.flat.grad.mul_(self.settings.clip / norm)
        self.adamw.param_groups[0]["lr"] = self.settings.rate(number)
        self.previous.copy_(self.flat)
        self.adamw.step()
        self.flat.grad.zero_()

    def undo(self) -> None:
        """Takes the last step back."""
        self.flat.copy_(self.previous)

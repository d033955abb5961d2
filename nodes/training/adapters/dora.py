"""DoRA: a LoRA whose columns keep a magnitude of their own."""
import torch

from .base import Adapter
from .lora import Lora


class Dora(Lora):
    """W'[:, j] = m[j] * V[:, j] / ||V[:, j]||, V = W + scale * up @ down (Liu et al. 2024, arXiv:2402.09353, eq. 5).

    m [in] starts at the norms of W's columns (for a convolution: over outputs and kernel), one of them for each input,
    as the paper has it and as the host's loader divides. The norm is a constant to the gradient (section 4.3), so
    W' x = V (m / ||V|| * x): the layer and its branch, run on a rescaled input. The norm of V needs no V:
    ||V||^2 = ||W||^2 + 2 scale <W^T up, down> + scale^2 <up^T up down, down>.
    """

    def start(self, generator):
        weight = self.layer.weight("cpu")
        self.squares = _columns(weight.square())
        magnitude = {"magnitude": self.squares.sqrt()}
        return {**super().start(generator), **magnitude}

    def forward(self, x, base):
        factor = (self.trained["magnitude"] / self.norms(x.device)).to(x.dtype)
        return super().forward(x * (factor.view(-1, *[1] * (x.ndim - 2)) if self.layer.is_conv else factor), base)

    def at(self, x, base, strength):
        return Adapter.at(self, x, base, strength)      # the change is not linear in the branch's scale

    @torch.no_grad()
    def norms(self, device) -> torch.Tensor:
        """[in] norms of the columns of V, fp32."""
        up, down = self.factors(self.kept_ranks)
        if self.squares.device != device:
            self.squares = self.squares.to(device)
        down = down.flatten(1)
        product = 2 * self.scale * self.layer.columns_of(up.t()) + self.scale ** 2 * (up.t() @ up) @ down
        change = _columns((product * down).view(down.shape[0], *self.layer.shape[1:]))
        return (self.squares + change).clamp(min=torch.finfo(torch.float32).tiny).sqrt()

    def change(self):
        weight = self.layer.weight(self.trained["up"].device)
        factor = (self.trained["magnitude"] / self.norms(weight.device)).view(1, -1, *[1] * (weight.ndim - 2))
        return (weight + super().change()) * factor - weight

    def file(self):
        scale = self.trained["magnitude"].view(1, -1, *[1] * (len(self.layer.shape) - 2))
        return {**super().file(), "dora_scale": scale}

    def take(self, weights):
        scale = weights[4]
        if scale is None or scale.numel() != self.layer.shape[1]:
            raise ValueError(f"expected a dora_scale of {self.layer.shape[1]} inputs, "
                             f"got {'none' if scale is None else scale.numel()}")
        factors = super().take((*weights[:4], None, weights[5]))
        return {**factors, "magnitude": scale.float().flatten()}


def _columns(values: torch.Tensor) -> torch.Tensor:
    """[out, in, *kernel] -> [in]"""
    return values.transpose(0, 1).flatten(1).sum(1)

"""One training step's loss and gradient."""
import torch

from .denoiser import Denoiser, Encoded, same_shapes
from .objective import Objective


def backward(denoiser: Denoiser, objective: Objective, batch: list[Encoded], noise: list[torch.Tensor],
             sigma: torch.Tensor) -> torch.Tensor:
    """Adds the gradient of the batch's mean loss to the adapters and returns that loss, on the device.

    noise[i] is shaped like batch[i].latent, sigma [B] on the CPU. Samples of equal shape share a forward pass, each
    with its own caption; the result does not depend on how they are grouped.
    """
    total = torch.zeros((), device=denoiser.device)
    for rows in group_by_shape(batch):
        losses = sample_losses(denoiser, objective, [batch[i] for i in rows], [noise[i] for i in rows], sigma[rows])
        mean = losses.sum() / len(batch)
        mean.backward()
        total += mean.detach()
    return total


def sample_losses(denoiser: Denoiser, objective: Objective, group: list[Encoded], noise: list[torch.Tensor],
                  sigma: torch.Tensor) -> torch.Tensor:
    """[B] losses of samples that share their shapes, in one forward pass."""
    clean = torch.cat([sample.latent for sample in group]).to(denoiser.device)
    sigma = sigma.to(denoiser.device)
    noisy = objective.add_noise(clean, torch.cat(noise).to(denoiser.device), sigma)
    return objective.losses(denoiser(noisy, sigma, [sample.conds for sample in group]), clean, sigma)


def group_by_shape(batch: list[Encoded]) -> list[list[int]]:
    groups = []
    for i, sample in enumerate(batch):
        home = next((group for group in groups if same_shapes(batch[group[0]], sample)), None)
        if home is None:
            groups.append([i])
        else:
            home.append(i)
    return groups

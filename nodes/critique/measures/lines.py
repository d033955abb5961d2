"""Straight lines through points."""
from torch import Tensor


def fit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of y [B, N] on x [N]: (slope, intercept), [B] each."""
    apart = x - x.mean()
    slope = y @ apart / (apart @ apart)
    return slope, y.mean(1) - slope * x.mean()

"""Training: one-step residuals, Levenberg–Marquardt for small networks, Adam for large ones."""

from __future__ import annotations

from ddg_explorer.training.defaults import OPTIMISERS
from ddg_explorer.training.loop import Progress, train

__all__ = ["OPTIMISERS", "Progress", "train"]

"""Operations of graph and particle energies on a state of shape (3, 4, 6): one for every rule of
extremes, norms, distances, scattering, windows, inverse functions and losses."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Operation = Callable[[Tensor], Tensor]


def _constant(*shape: int, seed: int = 31) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


C, TARGET = _constant(4, 6), _constant(3, 4, 6)
EDGES = torch.tensor([0, 3, 3, 1, 0])
PLACES = torch.tensor([[0, 2, 1], [3, 2, 0]])

EXTREMES: dict[str, Operation] = {
    "maximum": lambda x: torch.maximum(x, C) + torch.maximum(C, x) * torch.maximum(x, x.roll(1, 0)),
    "minimum": lambda x: torch.minimum(x, x[:1]) * torch.minimum(C, x),
    "amax": lambda x: torch.amax(x, (0, 2)) * x.amax(-1, keepdim=True)[..., 0] + x.amax(),
    "amin": lambda x: x.amin(1) * torch.amin(x, dim=(1,), keepdim=True)[:, 0],
    "max": lambda x: x.max() + x.max(-1).values + torch.max(x, 2, keepdim=True)[0][..., 0],
    "max two": lambda x: torch.max(x, C) + torch.max(C, other=x) * x.max(x.roll(1, -1)),
    "min": lambda x: torch.min(x) * torch.min(x, dim=1)[0],
    "min two": lambda x: torch.min(C, x) * x.min(C),
}

NORMS: dict[str, Operation] = {
    "norm 3": lambda x: (
        torch.linalg.vector_norm(x, 3, -1) + x.norm(2.5, dim=1, keepdim=True)[:, 0, :4]
    ),
    "norm inf": lambda x: torch.linalg.vector_norm(x, math.inf, (1, 2), keepdim=True),
    "norm -inf": lambda x: torch.linalg.norm(x, -math.inf, dim=-1),
    "norm of all": lambda x: torch.linalg.vector_norm(x, 4),
    "norm of complex": lambda x: torch.linalg.vector_norm(torch.fft.fft(x), 3, -1),
    "normalize": lambda x: F.normalize(x, dim=-1) + F.normalize(x, 3.0, dim=1, eps=1e-3),
    "cosine_similarity": lambda x: (
        F.cosine_similarity(x, x.roll(1, -1), dim=-1) * F.cosine_similarity(C, x, 2)
        + nn.CosineSimilarity(dim=-1)(x, C[0])
    ),
    "layer_norm": lambda x: F.layer_norm(x, (6,), C[0], C[1]) + F.layer_norm(x, (4, 6), eps=1e-3),
    "LayerNorm": nn.LayerNorm(6).double(),
    "rms_norm": lambda x: F.rms_norm(x, (6,), C[0]) * F.rms_norm(x, (4, 6), eps=1e-2),
    "group_norm": lambda x: F.group_norm(x, 2, C[:, 0], C[:, 1]) * F.group_norm(x, 4, eps=1e-3),
    "cdist": lambda x: torch.cdist(x, x.roll(1, -1)) * torch.cdist(x, C[None], p=1.0),
    "cdist 3": lambda x: torch.cdist(x, C[:2].expand(3, 2, 6), 3.0),
    "cdist inf": lambda x: torch.cdist(C[None, :2], x, math.inf),
    "pdist": lambda x: F.pdist(x[0]) * torch.pdist(x[1], 3.0),
    "pairwise_distance": lambda x: F.pairwise_distance(x, C) * nn.PairwiseDistance(3.0)(x, C),
    "dist": lambda x: torch.dist(x, C) * torch.dist(x, x.roll(1, -1), 3.0),
}

SCATTERS: dict[str, Operation] = {
    "scatter_add": lambda x: torch.zeros(3, 5, 6, dtype=x.dtype).scatter_add(
        1, PLACES.repeat(3, 2, 2), x.square()
    ),
    "scatter_add two": lambda x: torch.scatter_add(x, 0, PLACES[None] % 3, x[:1, :2, :3].square()),
    "scatter_add constant": lambda x: x.scatter_add(2, PLACES[None], TARGET),
    "index_add": lambda x: torch.index_add(
        torch.zeros(3, 4, 6, dtype=x.dtype), 1, EDGES[:4], x, alpha=0.7
    ),
    "index_add two": lambda x: x.index_add(1, EDGES[:2], x[:, 1:3].square()),
    "index_add constant": lambda x: x.index_add(dim=-1, index=EDGES, source=TARGET[..., :5]),
    "take": lambda x: torch.take(x, PLACES * 7) * x.take(torch.tensor([0, 70, 0])),
    "take_along_dim": lambda x: torch.take_along_dim(x, PLACES[:1, None], dim=-1),
    "take_along_dim wide": lambda x: x[:1].take_along_dim(PLACES[:, :, None], -2),
    "take_along_dim flat": lambda x: torch.take_along_dim(x, PLACES),
    "repeat_interleave": lambda x: (
        x.repeat_interleave(2, dim=1) * torch.repeat_interleave(x, torch.tensor([1, 0, 3, 4]), 1)
    ),
    "repeat_interleave flat": lambda x: torch.repeat_interleave(x, 2),
    "tile": lambda x: torch.tile(x, (2, 3)) * x.tile(1, 1, 2, 3)[0],
    "windows": lambda x: torch.cat(
        [x.unfold(-1, 3, 2).flatten(), x.unfold(dimension=1, size=2, step=3).flatten()]
    ),
    "unfold": lambda x: F.unfold(x[:, None], 2) * F.unfold(x[:, None], (2, 2), stride=1),
    "Unfold": lambda x: nn.Unfold((3, 2), dilation=(1, 2), padding=1, stride=(1, 2))(x),
    "kron": lambda x: torch.kron(x, C) * torch.kron(C, x) + torch.kron(x[0, 0], x.square()).sum(),
    "rot90": lambda x: torch.rot90(x, 1, (1, 2)) * x.rot90(-1, (-2, -1)) + x.rot90(2).mT,
    "fliplr": lambda x: torch.fliplr(x) * x.flipud(),
    "diag_embed": lambda x: torch.diag_embed(x, 1, 0, 2) * x.diag_embed(1, 0, 2),
    "diag": lambda x: torch.diag(x[0, 0], -1) + torch.diag(x[1] * 2.0, 1)[0],
}


def _inside(function: Operation) -> Operation:
    return lambda x: function(0.9 * torch.tanh(x))


def _cross_entropy(x: Tensor) -> Tensor:
    return torch.xlogy(C, x.square() + 0.1) + torch.special.xlogy(x, x.square() + 0.5)


SPECIAL: dict[str, Operation] = {
    "asinh": lambda x: torch.asinh(x) * torch.arcsinh(3.0 * x),
    "acosh": lambda x: torch.acosh(1.1 + x.square()) * torch.arccosh(2.0 + x.square()),
    "atanh": _inside(lambda x: torch.atanh(x) * torch.arctanh(x)),
    "asin": _inside(lambda x: torch.asin(x) * torch.arcsin(x)),
    "acos": _inside(lambda x: torch.acos(x) * torch.arccos(x)),
    "erfc": lambda x: torch.erfc(x) * torch.special.erfc(0.5 * x),
    "ndtr": torch.special.ndtr,
    "sinc": lambda x: torch.sinc(x) * torch.special.sinc(0.3 * x),
    "xlogy": _cross_entropy,
    "entropy": lambda x: (lambda p: torch.xlogy(p, p))(torch.softmax(x, -1)),
    "entr": lambda x: torch.special.entr(x.square() + 0.2),
    "float_power": lambda x: torch.float_power(x, 3) * x.square().add(0.5).float_power(1.5),
    "float_power constant": lambda x: torch.float_power(2.0, x) + torch.float_power(C.abs(), x),
    "huber_loss": lambda x: F.huber_loss(x, TARGET, delta=0.4) * nn.HuberLoss("none")(TARGET, x),
    "smooth_l1_loss": lambda x: (
        F.smooth_l1_loss(x, TARGET, beta=0.7)
        * nn.SmoothL1Loss(reduction="none", beta=0.0)(x, TARGET)
    ),
}

FURTHER_OPERATIONS = {**EXTREMES, **NORMS, **SCATTERS, **SPECIAL}

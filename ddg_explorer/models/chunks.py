"""The arithmetic of `increments` on a part of the sites: slopes, and blocks of second derivatives.

    δ₁ = W₁x_w,  δₖ₊₁ = Wₖ₊₁(σ̄ₖδₖ),      s = W₁ᵀ(σ̄₁ ∘ … Wₖᵀ(σ̄ₖ ∘ c w₀)) + ½ Q x_w
    B = Σₖ Zₖᵀ diag(σ″ₖ qₖ) Zₖ + Q,       Z₁ = W₁,  Zₖ₊₁ = Wₖ₊₁ diag(σ′ₖ) Zₖ

W₁ and Q stand for W₁Aᵀ and ½A(Q + Qᵀ)Aᵀ of `networks`, x_w for the stencil of the increment w. B is
the second derivative of the energy density by its stencil, qₖ the cotangent of layer k. Arrays are
`(features, sites)`; a site is a node of one trajectory, the trajectory running faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ddg_explorer.models.layers import LayerAt, layer_at
from ddg_explorer.models.networks import Perceptron

TINY = {torch.float64: 1.2e-290, torch.float32: 1.2e-30}
"""Added to increments of pre-activations, which must not be zero; far below what counts."""


@dataclass
class Weights:
    """The weights of an energy density in one dtype, with the whitening folded in.

    Attributes
    ----------
    dense, bias
        Of the hidden layers, `(h, m)` or `(h, h)`, and `(h, 1)`.
    last
        c w₀, `(h, 1)`.
    pull
        What pulls the slopes of layer k back to its input: Wₖᵀ, with c w₀ folded into the last.
    quadratic
        ½A(Q + Qᵀ)Aᵀ, `(m, m)`, None without a skip.
    mean
        μ, `(m, 1)`.
    """

    dense: list[Tensor]
    bias: list[Tensor]
    last: Tensor
    pull: list[Tensor]
    quadratic: Tensor | None
    mean: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, part: Perceptron, dtype: torch.dtype) -> Weights:
        """Today's weights."""
        *hidden, final = part.dense
        last, mean = (final.weight[0] * part.scale)[:, None], part.mean[:, None]
        dense: list[Tensor] = [layer.weight for layer in hidden]
        bias: list[Tensor] = [layer.bias[:, None] for layer in hidden]
        dense[0] = dense[0] @ part.whiten.mT
        bias[0] = bias[0] - dense[0] @ mean
        pull = [w.mT for w in dense]
        pull[-1] = pull[-1] * last.mT
        quadratic = None
        if part.quadratic is not None:
            symmetric = (part.quadratic + part.quadratic.mT) / 2
            quadratic = (part.whiten @ symmetric @ part.whiten.mT).to(dtype).contiguous()

        def cast(tensors: list[Tensor]) -> list[Tensor]:
            # a copy of a trained parameter would follow it
            return [t.detach().to(dtype).contiguous() for t in tensors]

        ends = cast([last, mean])
        return cls(cast(dense), cast(bias), ends[0], cast(pull), quadratic, ends[1])


class Chunk:
    """Some of the sites: their indices, their layers at the start of a step, and buffers."""

    def __init__(self, gather: Tensor, place: slice) -> None:
        self.place = place
        self._gather = gather.contiguous()
        self._layers: list[LayerAt] = []
        self._delta: list[Tensor] = []
        self._change: list[Tensor] = []
        self._pulled: list[Tensor] = []

    def start(self, rows: Tensor, exact: Weights, weights: Weights, activation: str) -> None:
        """Take states `(C·N, B)` as the start; `exact` are the weights in the states' dtype."""
        x = features(rows, self._gather)
        self._layers = layers_at(x, exact, weights, activation)
        like = self._layers[0].value
        if not self._delta or self._delta[0].dtype != like.dtype:
            values = [layer.value for layer in self._layers]
            self._delta = [torch.empty_like(value) for value in values]
            self._change = [torch.empty_like(value) for value in values[:-1]]
            self._pulled = [torch.empty_like(value) for value in values[:-1]]
        self._tiny = like.new_tensor(TINY[like.dtype])

    def evaluate(self, rows: Tensor, weights: Weights, out: Tensor) -> None:
        """Write the stencils' part of the gradient at increments `(C·N, B)` into `out`."""
        x = features(rows, self._gather)
        inner, slopes = x, []
        for i, (dense, layer) in enumerate(zip(weights.dense, self._layers, strict=True)):
            delta = torch.addmm(self._tiny, dense, inner, out=self._delta[i])
            slopes.append(layer.slope(delta))
            if i + 1 < len(self._layers):
                inner = torch.mul(delta, slopes[i], out=self._change[i])
        total = slopes[-1]
        for i in range(len(slopes) - 1, 0, -1):
            total = torch.mm(weights.pull[i], total, out=self._pulled[i - 1])
            total.mul_(slopes[i - 1])
        s = out[:, self.place]
        torch.mm(weights.pull[0], total, out=s)
        if weights.quadratic is not None:
            s.addmm_(weights.quadratic, x, alpha=0.5)

    def move(self) -> None:
        """Start from where the last evaluation was."""
        for layer, delta in zip(self._layers, self._delta, strict=True):
            layer.move(delta)


def features(rows: Tensor, index: Tensor) -> Tensor:
    """Stencils `(m, sites)` of states `(C·N, B)` at indices `(m, nodes)`."""
    return rows.index_select(0, index.flatten()).view(len(index), -1)


def layers_at(x: Tensor, exact: Weights, weights: Weights, activation: str) -> list[LayerAt]:
    """The layers at stencils `(m, sites)`; arithmetic in the dtype of `weights`."""
    # whitening looks at differences of neighbours: no float32 before that is done
    a = torch.addmm(exact.bias[0], exact.dense[0], x).to(weights.last.dtype)
    layers = [layer_at(activation, a)]
    for dense, bias in zip(weights.dense[1:], weights.bias[1:], strict=True):
        layers.append(layer_at(activation, torch.addmm(bias, dense, layers[-1].value)))
    return layers


def site_blocks(x: Tensor, exact: Weights, weights: Weights, activation: str) -> Tensor:
    """½B at stencils `(m, sites)`, as `(m, m, sites)`."""
    first, second = zip(
        *(layer.derivatives() for layer in layers_at(x, exact, weights, activation)), strict=True
    )
    count, sites = x.shape
    q = [weights.last.expand_as(first[-1])]
    for i in range(len(first) - 1, 0, -1):
        # the last layer's pull already holds c w₀
        inner = first[i] if i == len(first) - 1 else first[i] * q[0]
        q.insert(0, weights.pull[i] @ inner)
    z = weights.dense[0]
    outer = (z[:, :, None] * z[:, None, :]).flatten(1)
    blocks = (outer.mT @ (second[0] * q[0])).view(count, count, sites)
    if weights.quadratic is not None:
        blocks += weights.quadratic[:, :, None]
    z = z[:, :, None]
    for i, dense in enumerate(weights.dense[1:], start=1):
        z = (dense @ (first[i - 1][:, None] * z).flatten(1)).view(-1, count, sites)
        weighted = (second[i] * q[i])[:, None] * z
        for j in range(count):
            row = (weighted[:, j : j + 1] * z[:, j:]).sum(0)
            blocks[j, j:] += row
            blocks[j + 1 :, j] += row[1:]
    return blocks.mul_(0.5)

"""Operations on a state of shape (3, 4, 6), one for every rule and form of arguments it takes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from further_operations import FURTHER_OPERATIONS
from torch import Tensor, nn
from torch.nn import functional as F

Operation = Callable[[Tensor], Tensor]


def constant(*shape: int, seed: int = 11, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


C, M, N = constant(4, 6), constant(6, 5), constant(3, 7, 4)
Z = constant(4, 6, dtype=torch.complex128)
INDEX = torch.tensor([[0, 2], [3, 2]])
KERNELS = {n: constant(2, 2, *(3, 2, 2)[:n]) for n in (1, 2, 3)}
WHERE = constant(4, 6) > 0

SHAPE_OPERATIONS: dict[str, Operation] = {
    "reshape": lambda x: x.reshape(3, 2, -1),
    "view": lambda x: x.view((3, 24)),
    "reshape_as": lambda x: x.reshape_as(torch.zeros(3, 6, 4)),
    "flatten": lambda x: torch.flatten(x, 1),
    "nn.Flatten": nn.Flatten(),
    "unflatten": lambda x: x.unflatten(-1, (2, 3)),
    "ravel": torch.ravel,
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "unsqueeze": lambda x: x.unsqueeze(-2),
    "expand": lambda x: x[:, :, None].expand(-1, 4, 5, 6),
    "expand_as": lambda x: x[:, :1].expand_as(x) * C.expand_as(x),
    "sizes": lambda x: x.reshape(x.size(0), x.numel() // x.size(0)) * float(x.dim() + len(x)),
    "is_": lambda x: x * (1.0 + x.is_complex() + 2 * torch.is_floating_point(x) + x.is_cuda),
    "broadcast_to": lambda x: torch.broadcast_to(x[:, :1], (2, 3, 4, 6)),
    "broadcast_tensors": lambda x: torch.broadcast_tensors(x[..., :1], C)[0],
    "repeat": lambda x: x.repeat(2, 1, 1, 3),
    "permute": lambda x: x.permute(2, 0, 1),
    "torch.permute": lambda x: torch.permute(x, (1, -1, 0)),
    "transpose": lambda x: x.transpose(0, -1),
    "swapaxes": lambda x: x.swapaxes(1, 2),
    "t": lambda x: x[0].t() * M[:, :4],
    "T": lambda x: x[0].T * M[:, :4],
    "mT": lambda x: x.mT,
    "movedim": lambda x: torch.movedim(x, (0, 1), (2, 0)),
    "moveaxis": lambda x: torch.moveaxis(x, 0, -1),
    "roll": lambda x: torch.roll(x, (1, -2), (-1, -2)),
    "roll flat": lambda x: torch.roll(x, 5),
    "flip": lambda x: x.flip(-1, 0),
    "slices": lambda x: x[1:, ..., ::2],
    "integers": lambda x: x[1, ..., -2],
    "new axis": lambda x: x[:, None, 2:],
    "index": lambda x: x[:, torch.tensor([0, 0, 3])],
    "indices": lambda x: x[..., INDEX, torch.tensor([5, 1])],
    "list": lambda x: x[[2, 0]],
    "mask": lambda x: x[:, WHERE],
    "narrow": lambda x: torch.narrow(x, -1, 2, 3),
    "select": lambda x: torch.select(x, 1, -1),
    "unbind": lambda x: torch.unbind(x, 1)[2] * torch.unbind(x, 1)[0],
    "iterate": lambda x: [row * (i + 1.0) for i, row in enumerate(x)][2],
    "split": lambda x: torch.split(x, 4, -1)[1],
    "split sizes": lambda x: x.split([1, 2, 3], -1)[2],
    "chunk": lambda x: x.chunk(4, -1)[1],
    "cat": lambda x: torch.cat([x, C[None, :, :2], x[:1]][::2], 0),
    "cat constant": lambda x: torch.cat([x, x[..., :1] * 2.0, N.mT[..., :1]], -1),
    "hstack": lambda x: torch.hstack([x, C[:2].expand(3, 2, 6) * x[:, :1], x[:, 1:2]]),
    "hstack flat": lambda x: torch.hstack([x[0, 0], x[1, 1, 1], M[:, 0]]),
    "vstack": lambda x: torch.vstack([x[0], C[0], x[0, 1]]),
    "row_stack": lambda x: torch.row_stack([x[0], C]),
    "diagonal": lambda x: torch.diagonal(x, 1, 1, 2) * x.diagonal(-1, dim1=-1, dim2=0)[:1, :1],
    "linalg.diagonal": lambda x: torch.linalg.diagonal(x, offset=-2),
    "trace": lambda x: torch.trace(x[1]) * x[0],
    "masked_fill": lambda x: x.masked_fill(WHERE, 0.7) * torch.masked_fill(x, ~WHERE, x[0, 0, 0]),
    "stack": lambda x: torch.stack([x, C.expand(3, 4, 6), x * C], 1),
    "index_select": lambda x: x.index_select(2, torch.tensor([0, 5, 5])),
    "gather": lambda x: torch.gather(x, 2, INDEX.expand(3, 2, 2)),
    "zeros_like": lambda x: x + torch.zeros_like(x) + torch.ones_like(x) + x.new_zeros(6),
    "full_like": lambda x: x * torch.full_like(x, 2.0) + x.new_full((6,), 3.0) * x.new_ones(6),
    "new_tensor": lambda x: x * x.new_tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    "tril": lambda x: torch.tril(x, 1),
    "triu": lambda x: x.triu(),
    "where": lambda x: torch.where(WHERE, x * 2.0, C),
    "where same": lambda x: torch.where(WHERE, x, x),
    "where two": lambda x: torch.where(WHERE, 0.5, x) * torch.where(WHERE, x, x.roll(1, -1)),
}

LINEAR_OPERATIONS: dict[str, Operation] = {
    "sum": lambda x: x.sum((0, -1)),
    "sum keepdim": lambda x: torch.sum(x, dim=1, keepdim=True),
    "mean": lambda x: x.mean((1, 2)),
    "mean all": torch.mean,
    "cumsum": lambda x: torch.cumsum(x, 1),
    "diff": lambda x: torch.diff(x, 2, dim=-1),
    "diff prepend": lambda x: torch.diff(x, prepend=x[..., -1:]),
    "diff of ends": lambda x: torch.diff(x, 2, 1, prepend=N[:, :1, :1] * x[:, :2], append=x[:, :1]),
    "diff of a constant": lambda x: torch.diff(C, dim=0, append=x[0, :1]),
    "diff zero times": lambda x: torch.diff(x, 0, prepend=x[..., :1]),
    "neg": lambda x: -x,
    "pos": lambda x: +x.clone(),
    "contiguous": lambda x: x.mT.contiguous().view(3, -1),
    "clone": lambda x: x.mT.clone(memory_format=torch.contiguous_format).view(3, -1),
    "add": lambda x: torch.add(x, C, alpha=2.0) + 1.0,
    "sub": lambda x: torch.sub(C, x, alpha=3.0) - x,
    "rsub": lambda x: torch.rsub(x, C) + (1.0 - x),
    "mul": lambda x: 2.0 * x * C,
    "div": lambda x: x / C / 2.0,
    "double": lambda x: x.float().double(),
    "keywords": lambda x: torch.sum(input=x, axis=1, keepdims=True) * torch.mul(C, other=x),
    "type_as": lambda x: C.float().type_as(x) * x + C.float().to(x) + x.type_as(C),
    "dropout": nn.Dropout(0.3).eval(),
    "to": lambda x: x.to(torch.complex128).real,
    "linear": lambda x: F.linear(x, M.T, M[0]),
    "matmul right": lambda x: x @ M,
    "matmul left": lambda x: N @ x,
    "matvec": lambda x: x @ M[:, 0],
    "vecmat": lambda x: M[:4, 0] @ x,
    "mv": lambda x: torch.mv(x[0], M[:, 1]),
    "dot": lambda x: torch.dot(x[0, 0], M[:, 0]),
    "mm": lambda x: torch.mm(x[0], M),
    "bmm": lambda x: torch.bmm(N, x),
    "addmm": lambda x: torch.addmm(C[:, :5], x[0], M, beta=2.0, alpha=0.5),
    "einsum": lambda x: torch.einsum("bij,jk->bki", x, M),
    "einsum implicit": lambda x: torch.einsum("bij,jk", x, M),
    "einsum dots": lambda x: torch.einsum("...j,jk->k...", x, M),
    "einsum sum": lambda x: torch.einsum("bij->i", x),
    "tensordot": lambda x: torch.tensordot(x, C, ([1, 2], [0, 1])),
    "tensordot number": lambda x: torch.tensordot(x, M, 1),
    "pad": lambda x: F.pad(x, (1, -2, 0, 3), value=2.0),
    "pad circular": lambda x: F.pad(x, (2, 1), mode="circular"),
    "pad circular 2-D": lambda x: F.pad(x[:, None], (6, 1, 0, 4), mode="circular"),
    "pad reflect": lambda x: F.pad(x, (2, 3), mode="reflect"),
    "pad replicate": lambda x: F.pad(x, (2, 3), mode="replicate"),
    "avg_pool1d": lambda x: F.avg_pool1d(x, 2),
    "avg_pool1d odd": lambda x: F.avg_pool1d(x, 3, stride=2, padding=1, count_include_pad=False),
    "avg_pool2d": lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 0)),
    "AvgPool2d": nn.Sequential(nn.Unflatten(1, (2, 2)), nn.AvgPool2d(2, 3, 1, divisor_override=3)),
    "avg_pool3d": lambda x: F.avg_pool3d(x[None], 2, stride=1),
    "trapezoid": lambda x: torch.trapezoid(x, dx=0.3) + torch.trapz(x, M[:, 0]),
    "trapezoid axis": lambda x: torch.trapezoid(x, C[:, 2].cumsum(0), dim=1),
    "trapezoid points": lambda x: torch.trapz(x, C, dim=-2),
    "conv1d": lambda x: F.conv1d(x[:, :2], KERNELS[1], C[0, :2], stride=2, padding=1),
    "conv1d dilated": lambda x: F.conv1d(x[:, :2], KERNELS[1], None, 1, "valid", 2),
    "conv1d same": lambda x: F.conv1d(x[:, :2], KERNELS[1], padding="same"),
    "conv1d groups": lambda x: F.conv1d(x, KERNELS[1][:, :1].repeat(2, 1, 1), groups=4),
    "conv1d unbatched": lambda x: F.conv1d(x[0, :2], KERNELS[1]),
    "conv2d": lambda x: F.conv2d(x.reshape(3, 2, 3, 4), KERNELS[2], stride=(2, 1), padding=(1, 0)),
    "conv2d same": lambda x: F.conv2d(x.reshape(3, 2, 3, 4), KERNELS[2], None, 1, "same", 2),
    "conv3d": lambda x: F.conv3d(x.reshape(1, 2, 3, 2, 6), KERNELS[3], dilation=(1, 1, 3)),
    "conv_transpose1d": lambda x: F.conv_transpose1d(x[:, :2], KERNELS[1], None, 2, 1, 1),
    "conv_transpose1d dilated": lambda x: F.conv_transpose1d(
        x[:, :2], KERNELS[1], C[0, :2], 1, 0, 1, 1, 2
    ),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x.reshape(3, 2, 3, 4), KERNELS[2], None, 2),
    "conv_transpose3d": lambda x: F.conv_transpose3d(x.reshape(1, 2, 3, 2, 6), KERNELS[3]),
    "Conv1d circular": nn.Conv1d(4, 3, 5, padding=2, padding_mode="circular").double(),
    "Conv2d circular": nn.Sequential(
        nn.Unflatten(1, (2, 2)),
        nn.Conv2d(2, 3, (1, 3), padding=(0, 1), padding_mode="circular"),
    ).double(),
    "Conv3d circular": nn.Sequential(
        nn.Unflatten(2, (2, 3)),
        nn.Unflatten(1, (1, 4)),
        nn.Conv3d(1, 2, (3, 1, 3), padding=(1, 0, 1), padding_mode="circular"),
    ).double(),
}

PRODUCT_OPERATIONS: dict[str, Operation] = {
    "mul": lambda x: x * x.roll(1, -1),
    "broadcast": lambda x: x * x[:, :1, 2:3],
    "quotient": lambda x: x / (2.0 + x * x),
    "constant/x": lambda x: C / (x + 7.0) + 1.0 / (x + 9.0),
    "matmul": lambda x: x @ x.mT,
    "matmul batch": lambda x: x[0] @ x.mT,
    "matmul vectors": lambda x: x @ x[0, 0] + x[0, 0] @ x.mT,
    "dot": lambda x: torch.dot(x[0, 1], x[1, 2]),
    "linear": lambda x: F.linear(x, x[0], x[0, :, 0]),
    "outer": lambda x: torch.outer(x[0, 0], x[1, 1]),
    "addmm": lambda x: torch.addmm(x[0], x[0, :, :4], x[1]),
    "einsum two": lambda x: torch.einsum("bij,bkj->bik", x, x),
    "einsum broadcast": lambda x: torch.einsum("...ij,...kj->...ik", x[:, None], x[:1]),
    "einsum with constant": lambda x: torch.einsum("bij,jk,bil->bkl", x, M, x),
    "einsum three": lambda x: torch.einsum("bi,bj,bk->bi", x[..., 0], x[..., 1], x[..., 2]),
    "einsum four": lambda x: torch.einsum("i,i,j,j->", *(x[0, :, k] for k in range(4))),
    "tensordot": lambda x: torch.tensordot(x, x, ([1], [1])),
    "linalg.matmul": lambda x: torch.linalg.matmul(x, x.mT),
    "inner": lambda x: torch.inner(x, C) * torch.inner(x, x[0])[:, :1],
    "inner scalar": lambda x: torch.inner(x, x[0, 0, 0]),
    "vecdot": lambda x: torch.linalg.vecdot(x, x.roll(1, -1)) * torch.linalg.vecdot(C, y=x),
    "vecdot axis": lambda x: torch.linalg.vecdot(x, x[:1], dim=1),
    "linalg.cross": lambda x: torch.linalg.cross(x[..., :3], x[:1, ..., 3:]),
    "linalg.cross constant": lambda x: torch.linalg.cross(M[None, :3, :1], x[:, 1:], dim=1),
    "cross": lambda x: torch.cross(x, x.roll(1, -1), dim=0) * x.cross(C[:1].expand(3, 4, 6), 0),
    "addcmul": lambda x: torch.addcmul(x, x.roll(1, -1), C, value=0.5),
    "addcdiv": lambda x: torch.addcdiv(C, x, x.square() + 1.0, value=-2.0),
    "lerp": lambda x: torch.lerp(x, C, 0.3) * torch.lerp(input=C, end=x, weight=C.sigmoid()),
    "lerp three": lambda x: torch.lerp(x, x.roll(1, -1), x[:1]),
    "trapezoid two": lambda x: torch.trapezoid(x.square(), x, dim=1),
    "prod": lambda x: x.prod(-1) + torch.prod(x[..., :5], dim=-1),
    "prod keepdim": lambda x: torch.prod(x, 1, keepdim=True) * x[:, :1].prod(1, True),
    "prod all": lambda x: x[0, :2, :4].prod(),
    "var": lambda x: x.var(-1) + torch.var(x, dim=-1, correction=0) + x.var(-1, unbiased=False),
    "var axes": lambda x: torch.var(x, (0, 2), keepdim=True) * x.var(False),
    "mse_loss": lambda x: F.mse_loss(x, C.expand(3, 4, 6)) * nn.MSELoss(reduction="none")(x, -x),
    "mse_loss sum": lambda x: F.mse_loss(C.expand(3, 4, 6), x, reduction="sum"),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=-1),
    "norm method": lambda x: x.norm(dim=(1, 2), keepdim=True),
    "norm 1": lambda x: torch.linalg.vector_norm(x=x, ord=1, dim=1) * x.norm(1),
    "norm p": lambda x: torch.norm(x, p="fro", dim=0) + torch.norm(x, 2, 0),
    "linalg.norm": lambda x: torch.linalg.norm(x, dim=-1) * torch.linalg.norm(x),
    "linalg.norm 1": lambda x: torch.linalg.norm(input=x, ord=1, dim=-1),
    "linalg.norm matrix": lambda x: torch.linalg.norm(x, "fro", (0, 2)) * torch.linalg.norm(x[0]),
    "linalg.matrix_norm": lambda x: torch.linalg.matrix_norm(x, keepdim=True),
    "norm zero row": lambda x: torch.linalg.vector_norm(x * (C[:, :1] > 0), dim=-1),
    "std": lambda x: x.std(-1) * torch.std(x * (C[:, :1] > 0), dim=-1, correction=0),
    "hypot": lambda x: torch.hypot(x, C) + torch.hypot(C[0], x.roll(1, -1)) * torch.hypot(x, x[0]),
    "logsumexp": lambda x: torch.logsumexp(x, -1) * x.logsumexp((0, 1, 2), keepdim=True)[0],
    "logsumexp alias": lambda x: torch.special.logsumexp(50.0 * x, 1),
    "logaddexp": lambda x: torch.logaddexp(x, C) * torch.logaddexp(x, x.roll(1, -1)),
    "softmax": lambda x: nn.Softmax(-1)(x) * torch.softmax(x, 1) + torch.special.softmax(x, 0),
    "log_softmax": lambda x: F.log_softmax(x, -1) + torch.special.log_softmax(x, 1),
}

COMPLEX_OPERATIONS: dict[str, Operation] = {
    "multiply": lambda x: _power(torch.fft.rfft(x, n=10) * Z),
    "divide": lambda x: _power(torch.fft.rfft(x, n=10) / Z),
    "scalar": lambda x: ((1j * x) * (2.0 + 1j)).real,
    "product": lambda x: (torch.fft.rfft(x) * torch.fft.rfft(x.roll(1, 0)) * x[..., :4]).imag,
    "abs": lambda x: torch.fft.rfft2(x).abs().square(),
    "square": lambda x: torch.fft.rfft(x).square().real,
    "norm": lambda x: torch.linalg.vector_norm(torch.fft.fft(x), dim=-1),
    "var": lambda x: torch.var(torch.fft.fft(x), -1) + torch.fft.fft(x).std(-1),
    "vecdot": lambda x: _power(torch.linalg.vecdot(torch.fft.fft(x), torch.fft.fft(x.square()))),
    "vdot": lambda x: _power(torch.vdot(Z[0], torch.fft.fft(x)[0, 1])),
    "cross": lambda x: _power(torch.linalg.cross(torch.fft.fft(x)[..., :3], Z[None, :, 3:])),
    "view_as_real": lambda x: torch.view_as_real(torch.fft.fft(x)).square(),
    "view_as_complex": lambda x: _power(torch.view_as_complex(x.reshape(3, 12, 2)) * 1j),
    "complex": lambda x: _power(torch.complex(x, x.roll(1, -1)) * Z),
    "conj": lambda x: (torch.conj(torch.fft.fft(x)) * torch.fft.fft(x * x)).real,
    "matmul": lambda x: _power(torch.fft.fft(x) @ Z.mT),
    "einsum": lambda x: _power(torch.einsum("bij,kj->bik", torch.fft.fft(x), Z)),
    "where": lambda x: _power(torch.where(WHERE, torch.fft.fft(x), Z)),
    "fftshift": lambda x: _power(torch.fft.fftshift(torch.fft.fft(x), -1) * Z),
    "ifftshift": lambda x: _power(torch.fft.ifftshift(torch.fft.fft(x)) * Z),
}
COMPLEX_OPERATIONS["irfft of complex"] = lambda x: torch.fft.irfft(
    1j * torch.fft.rfft(x) * Z[0, :4], 6
)
COMPLEX_OPERATIONS["irfftn odd"] = lambda x: torch.fft.irfftn(
    torch.fft.rfftn(x) * Z[0, :4], (3, 4, 7)
)


def _transform(name: str, *args: object, **kwargs: object) -> Operation:
    return lambda x: _weigh(getattr(torch.fft, name)(x, *args, **kwargs))


for _name in ("fft", "ifft", "rfft", "irfft"):
    for _norm in ("backward", "ortho", "forward"):
        for _n in (None, 5, 6, 9):
            COMPLEX_OPERATIONS[f"{_name} {_norm} {_n}"] = _transform(_name, _n, -1, _norm)
    for _dim in ((1, 2), (-1, -2)):
        COMPLEX_OPERATIONS[f"{_name}2 {_dim}"] = _transform(_name + "2", dim=_dim, norm="ortho")
    for _s in (None, (3, 5, 7), (4, 8)):
        COMPLEX_OPERATIONS[f"{_name}n {_s}"] = _transform(_name + "n", _s)


def _power(z: Tensor) -> Tensor:
    return (z * z.conj()).real


def _weigh(z: Tensor) -> Tensor:
    """Real numbers from z, every one of its parts with a weight of its own."""
    weight = constant(*z.shape, dtype=torch.complex128)
    return (z * weight).real if z.is_complex() else z * weight.real


_ANYWHERE = ("tanh", "sigmoid", "exp", "expm1", "exp2", "sin", "cos", "sinh", "cosh", "erf")
_ANYWHERE += ("atan", "arctan")
_POSITIVE = ("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal")


def _of_positive(function: Operation) -> Operation:
    return lambda x: function(x.square() + 0.3)


ELEMENTWISE: dict[str, Operation] = {
    **{name: getattr(torch, name) for name in (*_ANYWHERE, "square", "abs", "relu")},
    **{name: _of_positive(getattr(torch, name)) for name in _POSITIVE},
    "special": lambda x: torch.special.expit(x) + torch.special.erf(x) + torch.special.expm1(x),
    "tan": lambda x: torch.tan(torch.tanh(x)),
    "atan2": lambda x: torch.atan2(x, x.roll(1, -1)) * torch.arctan2(C, x),
    "atan2 constant": lambda x: torch.atan2(x, C),
    "clamp": lambda x: x.clamp(-0.4, 0.9) + torch.clip(x, max=0.3) + torch.clamp(x, C, C + 0.5),
    "clamp one side": lambda x: x.clamp_min(0.1) * torch.clamp_max(x, 0.2) + x.clamp(min=0.0),
    "relu6": lambda x: F.relu6(7.0 * x),
    "hardtanh": nn.Hardtanh(-0.5, 0.3),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardswish": lambda x: F.hardswish(3.0 * x),
    "softsign": F.softsign,
    "celu": nn.CELU(0.6),
    "selu": F.selu,
    "mish": F.mish,
    "tanhshrink": nn.Tanhshrink(),
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu tanh": nn.GELU("tanh"),
    "leaky_relu": nn.LeakyReLU(0.2),
    "elu": nn.ELU(0.7),
    "softplus": F.softplus,
    "softplus beta": nn.Softplus(3.0, 60.0),
    "logsigmoid": nn.LogSigmoid(),
    **{f"power {p}": lambda x, p=p: x**p for p in (0, 1, 2, 3, 4, 5, 6, 7, 9)},
    **{f"power {p}": lambda x, p=p: (x + 9.0).pow(p) for p in (-1, -2, -3, 0.5, -0.5, 1.5, -1.3)},
    "constant to x": lambda x: 2.0**x + torch.full((6,), 3.0, dtype=torch.float64) ** x,
    "x to x": lambda x: (x.square() + 0.5) ** x,
    "x to constant": lambda x: (x.square() + 0.5) ** C,
}

ALL = {
    f"{family}: {name}": operation
    for family, operations in (
        ("shape", SHAPE_OPERATIONS),
        ("linear", LINEAR_OPERATIONS),
        ("product", PRODUCT_OPERATIONS),
        ("complex", COMPLEX_OPERATIONS),
        ("elementwise", ELEMENTWISE),
        ("further", FURTHER_OPERATIONS),
    )
    for name, operation in operations.items()
}

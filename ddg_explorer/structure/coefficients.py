"""Tensors that structure operators are made of.

Fixed ones are kept per dtype and device; others a module makes from its parameters at every use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ddg_explorer.array_files import real_numbers
from ddg_explorer.io import described

Numbers = Tensor | np.ndarray | Sequence[Any]
"""A tensor, or numbers in an array or in lists within lists, which become float64."""
Source = Numbers | nn.Module
"""What coefficients are made of."""


class Kept:
    """A tensor computed once per dtype and device.

    Threads may share it: two of them may both compute an entry, and write the same value.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def __call__(
        self, dtype: torch.dtype, device: torch.device | str, make: Callable[[], Tensor]
    ) -> Tensor:
        """The kept tensor, made by `make()` the first time; read-only."""
        key = (dtype, torch.device(device))
        if key not in self._entries:
            # A tensor made in inference mode could not take part in a later backward pass.
            with torch.inference_mode(False), torch.no_grad():
                self._entries[key] = make()
        return self._entries[key]


class InUnits(nn.Module):
    """What a module makes, entry by entry times `units`; None: as it is.

    They come with a recipe and not with the weights.
    """

    units: Tensor | None

    def __init__(self, units: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("units", units, persistent=False)

    def scaled(self, entries: Tensor) -> Tensor:
        """The entries in these units."""
        return entries if self.units is None else entries * self.units


class Free(InUnits):
    """A learnable tensor without any constraint: the parameter itself."""

    def __init__(self, raw: nn.Parameter, units: Tensor | None = None) -> None:
        super().__init__(units)
        self.raw = raw

    def forward(self) -> Tensor:
        return self.scaled(self.raw)


class Coefficients:
    """A fixed tensor, or a module whose `forward()` makes one from its parameters.

    Arrays and lists of numbers are fixed tensors in float64. A fixed tensor is copied, so that
    later changes to the caller's cannot void a guarantee. An `nn.Parameter` becomes the module
    `Free`, and so is looked up again at every use. `name` is what the caller calls the source.

    Raises
    ------
    ValueError
        One line with that name, for what is not real and finite, or a tensor with a gradient that
        is no `nn.Parameter`.
    """

    def __init__(self, source: Source, name: str) -> None:
        if not isinstance(source, nn.Module):
            source = _tensor(source, name)
        if isinstance(source, nn.Parameter):
            source = Free(source)
        elif isinstance(source, Tensor) and source.requires_grad:
            raise ValueError(f"{name}: what is learned must be an nn.Parameter or an nn.Module")
        self.module = source if isinstance(source, nn.Module) else None
        value = (source() if isinstance(source, nn.Module) else source).detach()
        self.shape = tuple(value.shape)
        _check_real(value, name)
        self._value = value.to("cpu", copy=True)
        self._kept = Kept()

    @property
    def guarantees(self) -> frozenset[str]:
        """Flags that the module's construction guarantees."""
        return getattr(self.module, "guarantees", frozenset())

    @property
    def is_zero(self) -> bool:
        """Whether the tensor is fixed and zero."""
        return self.module is None and not self._value.any()

    def __call__(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """The tensor in this dtype, on this device."""
        if self.module is not None:
            return self.module().to(device).to(dtype)
        return self._kept(dtype, device, lambda: self._value.to(dtype).to(device))

    def copy(self) -> Tensor:
        """The tensor in float64 on the CPU, to keep: writing to it changes no coefficient."""
        return self(torch.float64, "cpu").clone()


def check_raw(numbers: Numbers, name: str) -> Tensor:
    """Starting values of what is learned, a floating-point tensor of its own; else ValueError."""
    tensor = _tensor(numbers, name).detach()
    _check_real(tensor, name)
    return tensor.clone() if tensor.is_floating_point() else tensor.double()


def _check_real(tensor: Tensor, name: str) -> None:
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise ValueError(f"{name} has dtype {tensor.dtype}: must be real numbers")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name}: every entry must be finite")


def _tensor(numbers: Numbers, name: str) -> Tensor:
    """A tensor as it is, other numbers in float64; else ValueError."""
    if isinstance(numbers, Tensor):
        return numbers
    try:
        array = np.ma.array(numbers)
        if not np.ma.is_masked(array):
            return torch.from_numpy(real_numbers(array, "")).to(torch.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}={described(numbers)}: must be real numbers in rows of one length, a tensor "
            "or an nn.Module"
        ) from None
    raise ValueError(f"{name}: has masked values: fill them or leave them out")

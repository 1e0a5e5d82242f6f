"""The rows of the table, one module each with `measure(options) -> Row`."""

from __future__ import annotations

from importlib import import_module

from benchmarks.machine import Options
from benchmarks.report import Row

ROWS = (
    "conservation",
    "dissipation",
    "kdv_phlearn",
    "cahn_hilliard_pypde",
    "cahn_hilliard_exponax",
    "kdv_etdrk4",
    "scaling",
    "batched",
    "training_step",
    "ode_step",
    "gradient_error",
    "training_memory",
    "field_2d",
    "learned_kernel",
    "learned_matrix",
    "noise",
    "kdv_seed",
    "learned_step_1d",
    "learned_step_2d",
    "import_time",
    "live_view",
)
CPU_ONLY = (
    "gradient_error",
    "field_2d",
    "learned_kernel",
    "learned_matrix",
    "noise",
    "kdv_seed",
    "learned_step_1d",
    "import_time",
    "live_view",
)
"""Rows that are measured on the CPU, whatever the device."""


def measure(name: str, options: Options) -> Row:
    """Measure one row; modules are imported one by one, so that one row needs only its own."""
    return import_module(f"benchmarks.rows.{name}").measure(options)

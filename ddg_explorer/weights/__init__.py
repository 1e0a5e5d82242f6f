"""Trained models that come with the package, one safetensors file each with its card.

`SHIPPED` lists them with the data and the budget they are made of; `python -m ddg_explorer.weights`
makes those that are missing.
"""

from __future__ import annotations

from ddg_explorer.weights.table import FOLDER, SHIPPED, Shipped, find_weights

__all__ = ["FOLDER", "SHIPPED", "Shipped", "find_weights"]

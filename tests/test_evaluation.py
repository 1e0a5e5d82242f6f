"""Errors of rollouts where some or all of them fail, and in units of the data's variance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ddg_explorer.evaluation import Forecast, departure, errors, variance


def squares(u: Tensor) -> Tensor:
    return u.square().sum(-1)


def forecast_of(u: Tensor, frames: list[int]) -> Forecast:
    """Of states `(trajectories, frames, d)`, NaN after the good ones."""
    u = u.clone()
    for row, good in enumerate(frames):
        u[row, good:] = math.nan
    reasons = ["t = 0: lost"] * sum(good < u.shape[1] for good in frames)
    own = torch.zeros(u.shape[1], len(u), dtype=u.dtype)
    return Forecast(u.transpose(0, 1), own, torch.tensor(frames), reasons, 0.0, 0.0)


@pytest.fixture
def truth() -> Tensor:
    """Two trajectories of five frames."""
    return torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_rollouts_that_fail_at_once_have_no_error(truth: Tensor) -> None:
    """The initial frame is given, and nothing that a model predicted."""
    found = forecast_of(truth, [1, 1])
    figures = errors(found, truth, squares)
    assert figures["diverged"] == 2
    for name in ("state_mse", "state_mse_median", "energy_mse", "energy_mse_median"):
        assert math.isnan(figures[name])


def test_a_rollout_that_fails_at_once_makes_the_others_no_better(truth: Tensor) -> None:
    whole = forecast_of(truth[1:] + 0.5, [5])
    both = forecast_of(truth + 0.5, [1, 5])
    alone, figures = errors(whole, truth[1:], squares), errors(both, truth, squares)
    assert (alone["diverged"], figures["diverged"]) == (0, 1)
    for name in ("state_mse", "state_mse_median", "energy_mse", "energy_mse_median"):
        assert figures[name] == alone[name] > 0


def test_where_all_frames_are_good_the_initial_one_counts(truth: Tensor) -> None:
    """As in the published tables: a mean over all frames of the true trajectory."""
    predicted = truth.clone()
    predicted[:, 1:] += 0.1
    figures = errors(forecast_of(predicted, [5, 5]), truth, None)
    assert figures["state_mse"] == pytest.approx(0.8 * 0.01, rel=1e-12)
    still = forecast_of(truth[:, :1], [1, 1])
    assert errors(still, truth[:, :1], None)["state_mse"] == 0


def test_the_variance_is_the_error_of_guessing_the_mean_of_every_component() -> None:
    draw = torch.Generator().manual_seed(1)
    truth = torch.randn(4, 50, 2, generator=draw, dtype=torch.float64)
    truth = truth * torch.tensor([1.0, 3.0]) + torch.tensor([100.0, -7.0])
    guess = truth.mean((0, 1)).expand_as(truth)
    found = errors(forecast_of(guess, [50] * 4), truth, None)
    assert found["state_mse"] == pytest.approx(variance(truth), rel=1e-12)
    field = truth.reshape(4, 50, 1, 2)
    expected = float((field - field.mean()).square().mean())
    assert variance(field) == pytest.approx(expected, rel=1e-12)


def test_departure_is_the_first_frame_beyond_the_share_of_the_variance() -> None:
    """Error (0.1 n)² of a variance of 1: beyond a quarter from frame 6 on."""
    truth = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(5)[None, :, None]
    off = truth + 0.1 * torch.arange(10.0, dtype=torch.float64)[None, :, None]
    found = forecast_of(off, [10])
    assert departure(found, truth, 0.25) == 6
    assert departure(found, truth, 2.0) == 9

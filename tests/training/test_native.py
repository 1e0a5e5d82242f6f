"""Hidden layers in C++: the values, slopes and derivatives of tanh, for any shape and any ends."""

from __future__ import annotations

import itertools

import pytest
import torch

from ddg_explorer.training import native
from ddg_explorer.training.compiled import LAYER, PULL, run
from ddg_explorer.training.native import compiler
from ddg_explorer.training.near_ends import far_ends

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")

TYPES = [torch.float64, torch.float32]
WIDTHS = [1, 6, 16, 41, 200]


def ends_of(a, c, bias, dtype):
    """t, τ, σ̄ and its derivatives, from pre-activations less their bias."""
    ends = torch.cat([a, c]).to(dtype)
    slope, bend = torch.empty_like(ends[: len(a)]), torch.empty_like(ends)
    run("layer", LAYER, slope, bias.to(dtype), ends, slope, bend)
    return [*ends.chunk(2), slope, *bend.chunk(2)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_layer_of_any_width_is_the_one_in_torch(width, dtype):
    generator = torch.Generator().manual_seed(0)
    a, c = torch.randn(2, 7, width, generator=generator, dtype=torch.float64)
    c[:4] = a[:4] + 0.05 * c[:4]
    bias = torch.randn(width, generator=generator, dtype=torch.float64)
    found = ends_of(a, c, bias, dtype)
    whole, other = (a + bias), (c + bias)
    wanted = far_ends(whole.tanh(), other.tanh(), a - c)
    expected = (wanted.t, wanted.tau, wanted.slope, wanted.slope_a, wanted.slope_c)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(
            one.double(), two, rtol=0, atol=100 * float(torch.finfo(dtype).eps)
        )


def test_not_a_number_stays_where_it_is():
    a = torch.zeros(3, 20, dtype=torch.float64)
    a[1, 17] = torch.nan
    for array in ends_of(a, a + 0.01, torch.zeros(20), torch.float64):
        bad = array.isnan()
        assert bad[1, 17]
        assert int(bad.sum()) == 1


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_backward_passes_are_what_they_say(width, dtype):
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    n = 9
    w, m, slope, bend = drawn(width), drawn(n, width), drawn(n, width), drawn(2 * n, width)
    curved, bias, row = bend.clone(), torch.empty_like(w), torch.empty_like(w)
    run("second_pull", PULL, m, w, m, slope, curved, bias, row)
    wanted = bend * (m * w).repeat(2, 1)
    torch.testing.assert_close(curved, wanted)
    torch.testing.assert_close(bias, wanted.sum(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(row, (slope * m).sum(0), rtol=1e-5, atol=1e-5)

    q, p, ends, given = drawn(n, width), drawn(n, width), drawn(2 * n, width), drawn(2 * n, width)
    bent = given.clone()
    run("first_pull", PULL, p, q, p, ends, bend, bent, bias)
    wanted = (q * p).repeat(2, 1) * bend + (1 - ends * ends) * given
    torch.testing.assert_close(bent, wanted)
    torch.testing.assert_close(bias, wanted.sum(0), rtol=1e-5, atol=1e-5)


def test_threads_change_no_bit_of_a_layer(monkeypatch):
    generator = torch.Generator().manual_seed(2)
    n, width = 300, 77
    a, c, m, slope = torch.randn(4, n, width, generator=generator, dtype=torch.float64)
    w = torch.randn(width, generator=generator, dtype=torch.float64)
    found = []
    for threads in (1, 2, 3, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        arrays = ends_of(a, a + 0.1 * c, w, torch.float64)
        curved, bias, row = torch.cat(arrays[3:]), torch.empty_like(w), torch.empty_like(w)
        run("second_pull", PULL, m, w, m, slope, curved, bias, row)
        bent, total = curved.clone(), torch.empty_like(w)
        run("first_pull", PULL, m, m, slope, torch.cat(arrays[:2]), curved, bent, total)
        found.append([*arrays, curved, bias, row, bent, total])
    for one, other in itertools.product(found[:1], found[1:]):
        assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def test_a_compiler_that_fails_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'out of order' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(native, "compiler", lambda: str(broken))
    wanted = r"c\+\+ cannot build products.cpp and layers.cpp: out of order"
    with pytest.raises(RuntimeError, match=wanted):
        native.library.__wrapped__()


def test_a_compiler_that_does_not_know_all_options_builds_with_those_it_knows(
    monkeypatch, tmp_path
):
    plain = tmp_path / "c++"
    plain.write_text(
        "#!/bin/sh\n"
        'for word in "$@"; do case $word in -march=native|-fopenmp) exit 1; esac; done\n'
        f'exec {compiler()} "$@"\n'
    )
    plain.chmod(0o755)
    monkeypatch.setattr(native, "compiler", lambda: str(plain))
    found = native.library.__wrapped__()
    assert set(found) == {(name, dtype) for name in native.SIGNATURES for dtype in TYPES}

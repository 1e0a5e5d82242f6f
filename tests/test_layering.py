"""The house rules that a person forgets: what the core imports, prints, and touches globally."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ddg_explorer

PACKAGE = Path(str(ddg_explorer.__file__)).parent
FOREIGN = {"panel", "holoviews", "bokeh", "param", "panel_material_ui", "colorcet", "IPython"}
HEAVY = {"xarray", "h5netcdf", "h5py", "pandas", "scipy", "matplotlib", "torchdiffeq", "tqdm"}
LEARNING = {"ddg_explorer.models", "ddg_explorer.training", "ddg_explorer.recipes", "safetensors"}

# Each room may import itself and the rooms on lines above it.
ROOMS = (
    {"version", "io", "array_files", "discrete", "grids", "stencils"},
    {"structure"},
    {"dynamics"},
    {"systems", "models"},
    {"solve"},
    {"integrators"},
    {"frames", "rollout", "trajectory", "recording", "simulation"},
    {
        *("data", "origin", "sampling", "refusal", "tables", "table_text", "raw_data"),
        *("own_data", "data_advice", "recipes", "sources", "training", "diagnostics"),
        *("data_cache", "evaluation", "budgets", "fitting", "learned_structure", "compare"),
        *("verdict", "weights", "paper"),
    },
    {"cli", "commands", "app"},
)
# Neighbours that must not know each other all the same: room → what it must not import.
APART = {
    "solve": {"dynamics", "systems", "models", "structure"},
    "systems": {"models"},
    "app": {"cli", "commands"},
}
GLOBAL_STATE = {
    *("set_default_dtype", "set_default_device", "set_default_tensor_type", "manual_seed"),
    *("set_num_threads", "set_num_interop_threads", "set_grad_enabled", "set_printoptions"),
    *("use_deterministic_algorithms", "set_float32_matmul_precision", "seterr", "filterwarnings"),
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


CORE = [path for path in modules() if room_of(path) not in ("app", "cli", "commands")]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a module imports, also inside its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield node.lineno, str(node.module)
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_importing_the_package_stays_light() -> None:
    """Only torch and numpy come with the package; the rest is imported where it is used."""
    code = (
        "import json, sys, torch; before = set(sys.modules); "
        "from ddg_explorer import INTEGRATORS, STRUCTURES, SYSTEMS, discrete_grad, simulate; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = set(json.loads(done.stdout))
    loaded = {name.partition(".")[0] for name in names}
    assert "ddg_explorer" in loaded
    assert not loaded & (FOREIGN | HEAVY)
    assert not names & LEARNING
    assert done.stderr == ""


def test_torch_comes_with_the_first_name_that_needs_it() -> None:
    code = "import sys, ddg_explorer; assert 'torch' not in sys.modules; ddg_explorer.SYSTEMS"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_explore_without_the_extra_says_what_to_install() -> None:
    code = "import sys; sys.modules['panel'] = None; import ddg_explorer; ddg_explorer.explore()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: the app needs panel, which is not installed: "
        "pip install 'ddg-explorer[app]'"
    )


def test_public_names_are_there() -> None:
    missing = [name for name in ddg_explorer.__all__ if not hasattr(ddg_explorer, name)]
    assert not missing
    assert set(ddg_explorer.__all__) <= set(dir(ddg_explorer))
    families = (
        *(ddg_explorer.SYSTEMS, ddg_explorer.INTEGRATORS, ddg_explorer.STRUCTURES),
        *(ddg_explorer.MODELS, ddg_explorer.ACTIVATIONS),
    )
    assert all(key == key.lower() and key.isidentifier() for keys in families for key in keys)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_downwards_only(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    rank = {name: level for level, names in enumerate(ROOMS) for name in names}
    assert room in rank, f"{room} has no place in ROOMS and ARCHITECTURE.md"
    for line, name in imported(parse(path)):
        parts = name.split(".")
        if parts[0] != "ddg_explorer" or len(parts) < 2:
            continue
        assert rank.get(parts[1], 0) <= rank[room], f"{path.name}:{line} imports {name}"
        assert parts[1] not in APART.get(room, ()), f"{path.name}:{line} imports {name}"


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_core_knows_no_page_prints_nothing_and_sets_nothing(path: Path) -> None:
    tree = parse(path)
    allowed = path == PACKAGE / "__init__.py"
    for line, name in imported(tree):
        assert name.partition(".")[0] not in FOREIGN, f"{path.name}:{line} imports {name}"
        assert allowed or not name.startswith("ddg_explorer.app"), f"{path.name}:{line}"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global), f"{path.name}: global {node.names}"
        if not isinstance(node, ast.Call):
            continue
        where, called = f"{path.name}:{node.lineno}", node.func
        if isinstance(called, ast.Name):
            assert called.id != "print", f"{where} prints"
        if isinstance(called, ast.Attribute) and called.attr in GLOBAL_STATE:
            owner = ast.unparse(called.value)
            # A generator's own seed is the one thing of these names that is not global.
            seeded = called.attr == "manual_seed" and owner not in ("torch", "torch.cuda")
            assert seeded, f"{where} calls {owner}.{called.attr}"
        if isinstance(called, ast.Attribute) and called.attr == "lstsq":
            # The default one on a CPU reads its pivots from memory that nothing has written.
            drivers = [ast.unparse(k.value) for k in node.keywords if k.arg == "driver"]
            assert drivers == ["'gelsd'"], f"{where} calls lstsq without driver='gelsd'"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_opens_with_its_docstring_and_stays_readable(path: Path) -> None:
    tree = parse(path)
    assert ast.get_docstring(tree), f"{path.name} has no docstring"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            assert "NotImplemented" not in ast.unparse(node.exc), f"{path.name}:{node.lineno}"

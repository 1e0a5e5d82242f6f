"""The notebooks run from top to bottom, offline, and are stored clean.

Their cells assert the physics; here every cell has to finish, and the stored files carry neither
outputs nor traces of the machine they were written on. The kernel is the interpreter of the tests,
from a kernel specification made for the run: none has to be installed, none on the machine is used.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("holoviews", reason="the notebooks draw with the app extra")

from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
KERNEL = "python3"
CELL_SECONDS = 120

# A proxy where nobody listens: a download through the usual clients fails.
OFFLINE = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")}
FIGURE = "application/vnd.holoviews_exec.v0+json"

NETWORK = """
net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
learned = lambda u: net(u)[..., 0]
assert u.shape == v.shape == (2,)
defect = ddg.discrete_grad(learned)(v, u) @ (v - u) - learned(v) + learned(u)
assert abs(defect.item()) < 1e-14
"""
EXERCISES = {"01_energy_and_law": NETWORK}
"""Notebook → a cell that does one of its exercises at its end."""

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def specifications(tmp_path_factory: pytest.TempPathFactory) -> KernelSpecManager:
    """Kernel specifications of which there is one: this interpreter."""
    folder = tmp_path_factory.mktemp("kernels")
    write_kernel_spec(folder / KERNEL)
    return KernelSpecManager(kernel_dirs=[str(folder)], ensure_native_kernel=False)


def run(
    notebook: nbformat.NotebookNode, specifications: KernelSpecManager, folder: Path
) -> nbformat.NotebookNode:
    """Execute a copy of the notebook in `folder`; raises CellExecutionError for a failing cell."""
    manager = AsyncKernelManager(
        kernel_name=KERNEL,
        kernel_spec_manager=specifications,
        connection_file=str(folder / "kernel.json"),
    )
    client = NotebookClient(
        notebook.copy(),
        km=manager,
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(folder)}},
    )
    private = {"IPYTHONDIR": str(folder / "ipython"), "OMP_NUM_THREADS": "1"}
    return client.execute(env={**os.environ, **OFFLINE, **private})


@every_notebook
def test_it_runs(path: Path, specifications: KernelSpecManager, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    if exercise := EXERCISES.get(path.stem):
        notebook.cells.append(nbformat.v4.new_code_cell(exercise))
    notebook = run(notebook, specifications, tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert sum(FIGURE in output.get("data", {}) for output in outputs) >= 3


def test_the_kernel_is_this_interpreter(specifications: KernelSpecManager, tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("import sys; print(sys.executable)")
    notebook = run(nbformat.v4.new_notebook(cells=[cell]), specifications, tmp_path)
    assert notebook.cells[0].outputs[0].text.strip() == sys.executable


def test_the_explorer_is_shown_without_further_ado(
    specifications: KernelSpecManager, tmp_path: Path
) -> None:
    cell = nbformat.v4.new_code_cell(
        'import ddg_explorer as ddg\nddg.explore("mass_spring", play=False)'
    )
    outputs = run(nbformat.v4.new_notebook(cells=[cell]), specifications, tmp_path).cells[0].outputs
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert FIGURE in outputs[-1].data
    assert "https://cdn.holoviz.org" not in outputs[-1].data["text/html"]


def test_a_failing_cell_is_reported(specifications: KernelSpecManager, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3")])
    with pytest.raises(CellExecutionError, match="AssertionError"):
        run(notebook, specifications, tmp_path)


@every_notebook
def test_it_is_stored_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == KERNEL
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:home|Users|root|work|tmp|opt)/|\b[A-Z]:\\\\", text)


@every_notebook
def test_it_asserts_and_draws_no_global_randomness(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert source.count("\nassert ") >= 5
    assert not re.findall(r"manual_seed|random\.seed|set_num_threads|set_default_dtype", source)


def test_there_are_notebooks() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03"]

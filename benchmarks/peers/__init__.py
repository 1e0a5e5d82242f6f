"""Other packages, measured in an environment of their own.

`.venv-peers/` is made on first use with the pinned versions of `constraints.txt`. Each script in
this folder runs there: it reads one JSON object from its first argument, exchanges states as .npy
files, and prints one JSON object as its last line.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import ROOT, Options, peer_environment

ENVIRONMENT = ROOT / ".venv-peers"
CONSTRAINTS = Path(__file__).parent / "constraints.txt"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PACKAGES = (
    "py-pde",
    "numba",
    "exponax",
    "jax",
    "torch",
    "imageio",
    "autograd",
    "ipython",
    "networkx",
)
WITHOUT_DEPENDENCIES = ("phlearn",)
"""Its torchvision and torchaudio would replace torch, and its solvers use neither."""


class PeerUnavailable(RuntimeError):
    """The peers' environment could not be made, or a peer failed in it."""


def ensure_environment() -> None:
    """Make `.venv-peers/` unless it is there with these very constraints.

    Raises
    ------
    PeerUnavailable
        If the packages cannot be installed (no network, say).
    """
    stamp = ENVIRONMENT / "constraints.sha256"
    digest = hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    print(f"making {ENVIRONMENT.name} (some minutes, once) …", flush=True)
    install = [str(PYTHON), "-m", "pip", "install", "-q", "-c", str(CONSTRAINTS)]
    _command([sys.executable, "-m", "venv", str(ENVIRONMENT)])
    _command([*install, *PACKAGES])
    _command([*install, "--no-deps", *WITHOUT_DEPENDENCIES])
    stamp.write_text(digest)


def call(
    script: str, request: dict[str, Any], options: Options, **states: Tensor
) -> dict[str, Any]:
    """Run `script` on `request` and `states`; arrays it saves come back as tensors.

    Raises
    ------
    PeerUnavailable
        If the environment or the run fails; its last line of error is the message.
    """
    ensure_environment()
    with tempfile.TemporaryDirectory() as folder:
        for name, state in states.items():
            np.save(Path(folder) / f"{name}.npy", state.cpu().numpy())
        message = json.dumps({**request, "folder": folder})
        output = _command(
            [str(PYTHON), str(Path(__file__).parent / f"{script}.py"), message],
            peer_environment(options.threads),
        )
        answer = json.loads(output.strip().splitlines()[-1])
        for name in answer.pop("saved", []):
            answer[name] = torch.from_numpy(np.load(Path(folder) / f"{name}.npy"))
    return answer


def _command(command: list[str], environment: dict[str, str] | None = None) -> str:
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    except OSError as error:
        raise PeerUnavailable(str(error)) from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout).strip().splitlines()[-1:]
        raise PeerUnavailable(f"{Path(command[0]).name} failed: {''.join(last)}") from error
    return run.stdout

"""Files: written under another name and renamed when complete, so none is ever half written.

A path that cannot be written to is a ValueError of one line before the work begins. The last
functions put values and errors into such a line.
"""

from __future__ import annotations

import math
import os
import platform
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import torch

from ddg_explorer.version import __version__


def checked_path(path: str | Path, suffixes: Sequence[str]) -> Path:
    """`path`, if it ends in one of `suffixes` and can be written to; else ValueError."""
    path = Path(path)
    if path.suffix not in suffixes:
        raise ValueError(f"path={str(path)!r}: must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ValueError(f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist")
    if path.is_dir():
        raise ValueError(f"path={str(path)!r}: is a folder")
    try:
        temporary_beside(path).unlink()
    except OSError as error:
        raise ValueError(f"path={str(path)!r}: cannot be written ({error.strerror})") from None
    return path


def existing(path: str | Path, suffixes: Sequence[str]) -> tuple[Path, str]:
    """`path` and its suffix in lower case, if it is one of `suffixes` and there is such a file."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise ValueError(f"path={str(path)!r}: must end in {' or '.join(suffixes)}")
    if not path.exists():
        raise ValueError(f"path={str(path)!r}: no such file")
    return path, suffix


def temporary_beside(path: Path) -> Path:
    """A new empty hidden file in the folder of `path`, so that a rename to it is atomic."""
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
    temporary.touch(exist_ok=False)
    return temporary


def publish(temporary: Path, path: Path) -> None:
    """Rename a complete file to its final name, once its bytes are on the disk."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary file that becomes `path` or, on any exception, vanishes; OSErrors name `path`.

    >>> with atomic("result.json") as file:
    ...     file.write_text("{}")
    """
    target = Path(path)
    with _naming(target):
        temporary = temporary_beside(target)
    mode = temporary.stat().st_mode
    try:
        with _naming(target):
            yield temporary
            temporary.chmod(mode)  # what writes the file may keep others from reading it
            publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """OSErrors about a hidden file beside `target` name `target`."""
    try:
        yield
    except OSError as error:
        hidden = str(target.with_name(f".{target.stem}-"))
        if error.errno is not None and str(error.filename or hidden).startswith(hidden):
            error.filename = str(target)
        raise


def plain(value: Any) -> Any:
    """`value` for JSON, with None for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions() -> dict[str, str]:
    """What something was computed with, to note beside it."""
    return {
        "ddg-explorer": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def described(value: object) -> str:
    """What `value` is, in one line: text, numbers and lists as they are written, else its kind."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, list | tuple):
        return " ".join(shortened(value).split())
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    return f"a {type(value).__name__}"


def one_line(error: Exception) -> str:
    """What an error says, without line breaks and the quotes of a KeyError."""
    return " ".join(str(error).strip("'\"").split())


def named(error: ValueError, path: str | Path, name: str) -> ValueError:
    """The same line about a file, under the name that its owner gave it."""
    return ValueError(str(error).replace(f"path={str(path)!r}", name))

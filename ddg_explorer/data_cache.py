"""Data sets that are kept as netCDF files in a folder, so that a second call only reads.

In the user's own folder they are kept where that is possible: where it cannot be written to, a
warning is logged and the data are made again the next time. A folder that was named has to be
writable.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ddg_explorer.data import Dataset
from ddg_explorer.io import temporary_beside
from ddg_explorer.own_data import read_dataset

log = logging.getLogger(__name__)


class DataCache:
    """Data sets by file name.

    Parameters
    ----------
    cache
        True for the user's folder, False for none, or a folder.
    """

    def __init__(self, cache: bool | str | Path) -> None:
        self._users = cache is True
        self._folder: Path | None = None
        if cache is not False:
            self._folder = user_folder() if cache is True else Path(cache)

    def read(self, name: str) -> Dataset | None:
        """What is kept, None where there is nothing, or a damaged file: then it is made again."""
        if self._folder is None:
            return None
        try:
            return read_dataset(self._folder / name)
        except (OSError, ValueError):
            return None

    def prepare(self) -> None:
        """Make the folder, before the work on what is to be kept there; ValueError as of `keep`."""
        if self._folder is not None:
            try:
                make_writable(self._folder)
            except OSError as error:
                self._refuse(self._folder, error)

    def keep(self, data: Dataset, name: str) -> None:
        """Write the file; ValueError for a folder that was named and cannot be written to."""
        if self._folder is not None:
            try:
                data.save(self._folder / name)
            except OSError as error:
                self._refuse(self._folder, error)

    def _refuse(self, folder: Path, error: OSError) -> None:
        line = f"cache={str(folder)!r}: cannot be written to ({what_failed(error)})"
        if not self._users:
            raise ValueError(f"{line}; name another folder, or pass cache=False") from None
        log.warning("%s; the data are not kept", line)
        self._folder = None


def user_cache() -> Path:
    """The folder of what the package keeps for the user and can make again."""
    from platformdirs import user_cache_path

    return user_cache_path("ddg_explorer")


def user_folder() -> Path:
    """Where the user's data sets are kept."""
    return user_cache() / "data"


def make_writable(folder: Path) -> None:
    """Make a folder, with those above it; OSError where no file can be put into it."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary_beside(folder / "probe").unlink()


def what_failed(error: OSError) -> str:
    """What an error says, without number and file."""
    return os.strerror(error.errno) if error.errno else str(error)

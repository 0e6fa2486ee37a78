"""Files that may be elsewhere: a URL that fsspec knows is fetched, a path is used as it is."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vdistill.errors import VdistillError, first_line


@contextlib.contextmanager
def local(source: str) -> Iterator[Path]:
    """A local path for `source`; a fetched file is removed afterwards.

    Raises VdistillError for a URL that cannot be fetched.
    """
    if "://" not in source:
        yield Path(source)
        return
    import fsspec

    with tempfile.TemporaryDirectory(prefix="vdistill-") as folder:
        path = Path(folder) / source.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
        try:
            with fsspec.open(source, "rb") as remote, path.open("wb") as file:
                shutil.copyfileobj(remote, file)
        except Exception as error:  # each file system of fsspec has its own errors
            missing = isinstance(error, ImportError)
            hint = "install what it names" if missing else "check the address and the network"
            raise VdistillError(
                f"cannot fetch {source}: {first_line(error)}", hint=f"{hint}, or download the file and give its path"
            ) from error
        yield path

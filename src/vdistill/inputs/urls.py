"""Files that may lie elsewhere: a URL that fsspec knows is fetched, a path is used as it is."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vdistill.errors import VdistillError


@contextlib.contextmanager
def local(source: str) -> Iterator[Path]:
    """A local path of `source`; what was fetched is removed afterwards.

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
                while part := remote.read(1 << 20):
                    file.write(part)
        except Exception as error:  # each file system of fsspec has errors of its own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            missing = isinstance(error, ImportError)
            hint = "install what it names" if missing else "check the address and the network"
            raise VdistillError(
                f"cannot fetch {source}: {reason}", hint=f"{hint}, or download the file and give its path"
            ) from error
        yield path

"""Files that may be elsewhere: a URL that fsspec knows is fetched, a path is used as it is."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vdistill.errors import VdistillError, first_line
from vdistill.sources import shown


@contextlib.contextmanager
def local(source: str) -> Iterator[Path]:
    """A local path for `source`; a fetched file is removed afterwards.

    Raises VdistillError for a URL that cannot be fetched.
    """
    if "://" not in source:
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="vdistill-") as folder:
        path = Path(folder) / (source.partition("://")[2].partition("?")[0].rstrip("/").rsplit("/", 1)[-1] or "file")
        try:
            _fetch(source, path)
        except Exception as error:  # each file system of fsspec has its own errors
            missing = isinstance(error, ImportError)
            hint = "install what it names" if missing else "check the address and the network"
            raise VdistillError(
                f"cannot fetch {shown(source)}: {getattr(error, 'strerror', None) or first_line(error)}",
                hint=f"{hint}, or download the file and give its path",
            ) from error
        yield path


def _fetch(source: str, path: Path) -> None:
    if source.startswith(("http://", "https://")):
        from vdistill.sources.web import web

        web().fetch_file(source, path)
        return
    import fsspec

    with fsspec.open(source, "rb") as remote, path.open("wb") as file:
        shutil.copyfileobj(remote, file)

"""Files that may be elsewhere: a URL that fsspec knows is fetched, a path is used as it is."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vdistill.errors import VdistillError
from vdistill.sources import shown, source_at
from vdistill.sources.remote import open_remote


@contextlib.contextmanager
def local(source: str, name: str = "") -> Iterator[Path]:
    """A local path for `source`, which may be in a tar; a fetched file has the last part of `name`, and is removed.

    Raises VdistillError for a URL that cannot be fetched.
    """
    if "://" not in source and not source.startswith("tar:"):
        yield Path(source)
        return
    from vdistill.sources.web import web  # here, since few commands fetch anything

    with tempfile.TemporaryDirectory(prefix="vdistill-") as folder:
        path = Path(folder) / ((name or source.partition("?")[0]).rstrip("/").rsplit("/", 1)[-1] or "file")
        try:
            if source.startswith(("http://", "https://")):
                web().fetch_file(source, path)
            else:
                with _opened(source) as remote, path.open("wb") as file:
                    shutil.copyfileobj(remote, file)
        except VdistillError as error:
            raise VdistillError(f"cannot fetch {shown(source)}: {error.message}", hint=error.hint) from error
        except OSError as error:
            raise VdistillError(
                f"cannot fetch {shown(source)}: {error.strerror or error}",
                hint="check the address and the network, or download the file and give its path",
            ) from error
        yield path


def _opened(source: str) -> BinaryIO:
    return source_at(source).open() if source.startswith("tar:") else open_remote(source)

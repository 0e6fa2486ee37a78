"""Public sets by name, made once into a folder."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vdistill.bench.public_sets.inquire import Inquire
from vdistill.bench.public_sets.published import VERSION, Loader, SetFolder
from vdistill.bench.public_sets.sqid import Sqid
from vdistill.errors import VdistillError

_LOADERS: dict[str, Callable[[], Loader]] = {
    "inquire-rerank": Inquire,
    "inquire-rerank/validation": lambda: Inquire("validation"),
    "sqid": Sqid,
}


def parse(text: str) -> tuple[str, Path]:
    """The name and the folder of `NAME[:FOLDER]`. Raises VdistillError for a name that is not known."""
    name, _, folder = text.partition(":")
    if name not in _LOADERS:
        close = difflib.get_close_matches(name, _LOADERS, n=1)
        asked = f"did you mean {close[0]}? " if close else ""
        raise VdistillError(f"no public set {name!r}", hint=f"{asked}known: {', '.join(_LOADERS)}")
    return name, Path(folder or name)


def made(name: str, root: Path, queries: int | None, say: Callable[[str], None]) -> tuple[SetFolder, dict[str, Any]]:
    """The folder of a public set, which is fetched and written where it is not there yet, and what it says of itself.

    queries: how many to take; None for all. Raises VdistillError for a folder that holds another set,
    or files of the user.
    """
    folder, loader = SetFolder(root), _LOADERS[name]()
    asked = {"name": name, "asked_queries": queries}
    found = folder.made_as()
    if found is None:
        folder.begin()
        loader.fetch(folder)
        say(f"{loader.about.title}: writing {root}")
        contents = loader.load(folder, queries, say)
        folder.write(contents, loader.about, asked, say)
        found = folder.made_as() or {}
    if {key: found.get(key) for key in asked} != asked or found.get("version") != VERSION:
        raise VdistillError(
            f"{root} holds {found.get('name')} with {found.get('asked_queries') or 'all'} queries",
            hint=f"give another folder: --set {name}:FOLDER",
        )
    say(f"{loader.about.title}. Licence: {loader.about.licence}")
    say(f"cite: {loader.about.citation}")
    return folder, found

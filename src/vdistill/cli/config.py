"""`vdistill.toml`: defaults for the commands, found in the current folder or its nearest parent.

Keys are the long names of the flags. At the top of the file they hold for every command that has the flag, in a
section named after a command for that command alone. Paths are relative to the file; URLs and names of models stay as
they are. `[prices]` is a table of what models cost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from vdistill.errors import VdistillError

FILE = "vdistill.toml"
PRICES = "prices"
HINT = "fix the file, or move it away"


class Meaning(Enum):
    """Where the text of an option may hold a path; an option of type Path is one as a whole."""

    PATH = "a path, or a URL, or - for standard input"
    PATH_OR_NAME = "a path if it exists, else a name"
    TEACHER = "`table:PATH`, `metadata:PATH`, a path or a name"
    DATABASE = "`qdrant+path:PATH`, or a URL"


def meaning(annotation: Any) -> Meaning | None:
    """What an option's annotation says about paths in its value: a `Meaning` in it, or the type Path."""
    found = next((one for one in get_args(annotation) if isinstance(one, Meaning)), None)
    return found or (Meaning.PATH if _holds_path(annotation) else None)


def _holds_path(annotation: Any) -> bool:
    return annotation is Path or any(_holds_path(one) for one in get_args(annotation))


def find(start: Path) -> Path | None:
    """The `vdistill.toml` of `start` or of its nearest parent that has one."""
    return next((folder / FILE for folder in (start, *start.parents) if (folder / FILE).is_file()), None)


def defaults(path: Path, flags: Mapping[str, Mapping[str, Meaning | None]]) -> dict[str, dict[str, Any]]:
    """The defaults of each command in `flags` (command → long names of its flags → where they hold paths).

    Raises VdistillError for a file that is not TOML, and for names that no command has.
    """
    from vdistill.inputs.toml_file import read_toml

    content = read_toml(path, hint=HINT)
    content.pop(PRICES, None)
    shared = {name: value for name, value in content.items() if not isinstance(value, dict)}
    sections = {name: value for name, value in content.items() if isinstance(value, dict)}
    _check(path, sections, flags, "command")
    _check(path, shared, {name for known in flags.values() for name in known}, "setting")
    found = {}
    for command, known in flags.items():
        section = sections.get(command, {})
        _check(path, section, known, f"setting of [{command}]")
        values = {**{name: value for name, value in shared.items() if name in known}, **section}
        found[command] = {name: _resolved(path.parent, known[name], value) for name, value in values.items()}
    return found


def prices(path: Path) -> dict[str, Any]:
    """What `[prices]` says, by model. Raises VdistillError for a file that is not TOML."""
    from vdistill.inputs.toml_file import read_toml

    table = read_toml(path, hint=HINT).get(PRICES, {})
    if not isinstance(table, dict):
        raise VdistillError(
            f"{path}: prices must be a table", hint='write [prices], and below it "model" = [0.15, 0.60]'
        )
    return table


def _check(path: Path, names: Collection[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            import difflib

            close = difflib.get_close_matches(name, known, n=2)
            asked = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(known))}"
            raise VdistillError(f"{path}: unknown {what} {name!r}", hint=asked)


def _resolved(folder: Path, meant: Meaning | None, value: Any) -> Any:
    """A path is relative to the file, wherever the command is called; a URL stays as it is."""
    if isinstance(value, list):
        return [_resolved(folder, meant, one) for one in value]
    if meant is None or not isinstance(value, str) or "://" in value or value in ("", "-"):
        return value
    if meant is Meaning.DATABASE:
        kind, colon, rest = value.partition(":")
        return f"{kind}:{_path(folder, rest, always=True)}" if colon and rest else value
    if meant is Meaning.TEACHER:
        from vdistill.label.settings import PATH_KINDS

        kind, colon, rest = value.partition(":")
        if colon and kind in PATH_KINDS:
            return f"{kind}:{_path(folder, rest, always=PATH_KINDS[kind])}" if rest and "://" not in rest else value
    return _path(folder, value, always=meant is Meaning.PATH)


def _path(folder: Path, value: str, *, always: bool) -> str:
    path = folder / Path(value).expanduser()
    return str(path) if always or path.exists() else value

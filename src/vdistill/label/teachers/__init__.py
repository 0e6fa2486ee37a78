"""Who can be asked: `open_teacher` turns what `--teacher` says into a Teacher."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.label.teacher import Teacher
from vdistill.label.teachers.aliases import ALIASES, resolve
from vdistill.records import Item

GROUP = "vdistill.teachers"


def open_teacher(
    spec: str, *, endpoint: str | None, items: Sequence[Item], concurrency: int, say: Callable[[str], None]
) -> Teacher:
    """The teacher that `spec` names: `metadata`, `table:FILE`, an alias, a model id or folder, or `openai:MODEL`.

    With `endpoint` any model name is asked for over HTTP; packages can add teachers through the entry-point group
    `vdistill.teachers`. Raises VdistillError for an unknown name, with the close ones.
    """
    kind, _, rest = spec.partition(":")
    if kind == "table" and rest:
        from vdistill.label.teachers.table import TableTeacher

        return TableTeacher(Path(rest))
    if kind == "metadata":
        from vdistill.label.teachers.metadata import MetadataTeacher

        return MetadataTeacher(items, rest or None, say)
    plugins = _plugins()
    if kind in plugins:
        teacher = plugins[kind].load()(rest)
        if not isinstance(teacher, Teacher):
            raise VdistillError(f"the plug-in {kind!r} gave no Teacher", hint="see docs/teachers.md")
        return teacher
    if endpoint is not None or kind == "openai":
        from vdistill.label.teachers.openai_api import OpenAITeacher

        return OpenAITeacher(rest if kind == "openai" else spec, endpoint=endpoint, concurrency=concurrency, say=say)
    if spec not in ALIASES and "/" not in spec and not Path(spec).is_dir():
        raise _unknown(spec, plugins)
    from vdistill.label.teachers.local_vlm import LocalVLM

    return LocalVLM(resolve(spec), say=say)


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _unknown(spec: str, plugins: dict[str, EntryPoint]) -> VdistillError:
    known = ["metadata", "table:FILE", "openai:MODEL", *ALIASES, *plugins]
    close = difflib.get_close_matches(spec, known, n=3, cutoff=0.5)
    asked = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    return VdistillError(f"unknown teacher {spec!r}", hint=f"{asked} A model id (owner/name) or a folder works too")

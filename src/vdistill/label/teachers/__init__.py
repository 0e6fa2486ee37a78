"""Who can be asked: `open_teacher` turns what `--teacher` says into a Teacher."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.label.teacher import Teacher
from vdistill.label.teachers.aliases import ALIASES, resolve
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Item

GROUP = "vdistill.teachers"


def open_teacher(spec: str, options: TeacherOptions, items: Sequence[Item], say: Callable[[str], None]) -> Teacher:
    """The teacher that `spec` names: `metadata`, `table:FILE`, an alias, a model id or folder, or `openai:MODEL`.

    With an endpoint any model name is asked for over HTTP; packages can add teachers through the entry-point group
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
        return _from_plugin(plugins[kind], rest)
    if options.endpoint is not None or kind == "openai":
        from vdistill.label.teachers.openai_api import OpenAITeacher

        return OpenAITeacher(rest if kind == "openai" else spec, options, say=say)
    if spec not in ALIASES and not Path(spec).is_dir():
        _check_hub_id(spec, plugins)
    if options.thinking.tokens:
        raise VdistillError(
            "--think is for teachers that are asked over HTTP", hint="give --endpoint URL, or leave --think out"
        )
    from vdistill.label.teachers.local_vlm import LocalVLM

    return LocalVLM(resolve(spec), options, say=say)


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _from_plugin(plugin: EntryPoint, rest: str) -> Teacher:
    """Another package's teacher; whatever goes wrong in its code is said to be there."""
    try:
        teacher = plugin.load()(rest)
    except VdistillError:
        raise
    except Exception as error:
        raise VdistillError(
            f"the plug-in {plugin.name!r} ({plugin.value}) failed: {type(error).__name__}: {error}",
            hint="fix or uninstall its package; --debug shows where it failed",
        ) from error
    if not isinstance(teacher, Teacher):
        raise VdistillError(f"the plug-in {plugin.name!r} gave no Teacher", hint="see docs/teachers.md")
    return teacher


def _check_hub_id(spec: str, plugins: dict[str, EntryPoint]) -> None:
    """Raise for what can be no model id: a folder that is not there, or a name without an owner."""
    if spec.startswith(("/", ".", "~")) or spec.count("/") > 1:
        beside = Path(spec).parent
        folders = [folder.name for folder in beside.iterdir() if folder.is_dir()] if beside.is_dir() else []
        close = difflib.get_close_matches(Path(spec).name, folders, n=1)
        hint = f"did you mean {beside / close[0]}?" if close else "give the folder of a model, or its id (owner/name)"
        raise VdistillError(f"no folder {spec}", hint=hint)
    if "/" not in spec:
        raise _unknown(spec, plugins)


def _unknown(spec: str, plugins: dict[str, EntryPoint]) -> VdistillError:
    known = ["metadata", "table:FILE", "openai:MODEL", *ALIASES, *plugins]
    kinds = {name.partition(":")[0]: name for name in reversed(known)}
    close = difflib.get_close_matches(spec, known, n=3, cutoff=0.5)
    close = close or [kinds[kind] for kind in difflib.get_close_matches(spec.partition(":")[0], kinds, n=1)]
    asked = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}."
    return VdistillError(f"unknown teacher {spec!r}", hint=f"{asked} A model id (owner/name) or a folder works too")

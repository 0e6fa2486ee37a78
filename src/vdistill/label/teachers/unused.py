"""Options that a teacher has no use for: who is told so, instead of being left to wonder."""

from __future__ import annotations

from importlib.metadata import entry_points

from vdistill.errors import VdistillError

_NO_MODEL = ("metadata", "table")
_WHY = {
    "think": "it does not think",
    "endpoint": "it asks no server",
}


def unused(spec: str, group: str = "vdistill.teachers") -> dict[str, str]:
    """Of `think` and `endpoint` those that the teacher of this name ignores, and why.  group: of the plug-ins."""
    kind = spec.partition(":")[0]
    if kind in _NO_MODEL or kind in {point.name for point in entry_points(group=group)}:
        return dict(_WHY)
    return {"think": _WHY["think"]} if kind == "rerank" else {}


def refuse_unused(specs: list[str], given: set[str]) -> list[str]:
    """Notices of options that some of several teachers ignore.

    given: the options that the user gave for this command. Raises VdistillError for one that none of them can use.
    """
    notices = []
    for name in sorted(given):
        ignoring = {spec: reasons[name] for spec in specs if name in (reasons := unused(spec))}
        if len(ignoring) == len(specs):
            raise VdistillError(
                f"--{name} is not for --teacher {specs[0]}: {ignoring[specs[0]]}",
                hint=f"leave --{name} out, or name a model",
            )
        notices += [f"--{name} is not for {spec}: {why}" for spec, why in ignoring.items()]
    return notices

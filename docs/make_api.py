"""Write docs/api.md from the docstrings of what programs may use; a test checks that it is up to date."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

# Module, and its public names in the order in which one meets them.
PUBLIC = (
    ("vdistill", ("Searcher", "Term")),
    ("vdistill.records", ("Hit", "Item", "Question", "ShownImage", "Answer", "Failure")),
    ("vdistill.label.teacher", ("Teacher", "Price")),
    ("vdistill.errors", ("VdistillError", "TeacherError")),
)


def render() -> str:
    """The page: each class with its signature, its docstring, and its public members."""
    parts = [
        "# API reference",
        "",
        "What Python programs may use; everything else may change. Made from the docstrings by `make docs`.",
    ]
    for module, names in PUBLIC:
        parts += ["", f"## `{module}`"]
        for name in names:
            parts += _class(getattr(importlib.import_module(module), name))
    return "\n".join(parts) + "\n"


def _class(found: type[Any]) -> list[str]:
    lines = ["", f"### `{found.__name__}{_signature(found)}`", "", _doc(found)]
    for name, member in vars(found).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property) and member.fget is not None:
            lines += ["", f"**`{name}`** {_doc(member.fget)}"]
        function = member.__func__ if isinstance(member, classmethod) else member
        if inspect.isfunction(function):
            lines += ["", f"**`{name}{_signature(function)}`** {_doc(function)}"]
    return lines


def _doc(of: Any) -> str:
    return inspect.getdoc(of) or ""


def _signature(of: Any) -> str:
    """The parameters with their types as written, without self and what is private."""
    if inspect.isclass(of) and getattr(of, "_is_protocol", False):
        return ""
    signature = inspect.signature(of)
    kept = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    if inspect.isclass(of) and of.__name__ == "Searcher":
        return ""  # made by `open`
    text = str(signature.replace(parameters=kept, return_annotation=signature.return_annotation))
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text).removesuffix(" -> None")


if __name__ == "__main__":
    Path(__file__).with_name("api.md").write_text(render(), encoding="utf-8")

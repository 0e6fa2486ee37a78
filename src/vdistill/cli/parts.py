"""What `vdistill-core` leaves out: a command that lacks a part says what to install, in one line.

Everything else of the program is in both distributions, so what is missing shows where it is imported. What would be
found missing only after long work is asked for before it begins.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import NamedTuple

from vdistill.errors import VdistillError

_WHOLE = "pip install vdistill"
_TORCH = frozenset({"accelerate", "onnx", "onnxscript", "peft", "torch", "transformers"})
_WITH_TORCH = {
    "label": "a teacher in this process",
    "distill": "training",
    "index": "embedding with a model that no index here has exported",
    "bench": "measuring a model that no index here has exported",
}
_HINTS = {
    "index": f"{_WHOLE}; an index that has its image encoder and is of the same model is brought up to date without",
    "label": f"{_WHOLE}, or ask a server: --endpoint URL",
}


class _Part(NamedTuple):
    what: str
    hint: str


_OTHERS = {
    "matplotlib": _Part("a page with figures", f"{_WHOLE}, or pip install matplotlib"),
    "pyarrow": _Part("Parquet", f"{_WHOLE}, or pip install pyarrow"),
    "scipy": _Part("fitting judgments", f"{_WHOLE}, or pip install 'vdistill-core[judge]'"),
}


def has(module: str) -> bool:
    """Whether a module is installed; it is not imported."""
    return importlib.util.find_spec(module) is not None


def require(module: str, command: str = "") -> None:
    """Raise VdistillError where a module is not installed that `command` will need."""
    error = None if has(module) else lacking(module, command)
    if error is not None:
        raise error


def require_all(modules: Iterable[str]) -> None:
    """The same for several."""
    for module in modules:
        require(module)


def lacking(module: str, command: str) -> VdistillError | None:
    """What to say where `module` could not be imported; None for one that is in every installation."""
    name = module.partition(".")[0]
    if name in _TORCH:
        what = _WITH_TORCH.get(command, "this")
        return VdistillError(f"{what} needs {name}", hint=_HINTS.get(command, _WHOLE))
    part = _OTHERS.get(name)
    return VdistillError(f"{part.what} needs {name}", hint=part.hint) if part else None

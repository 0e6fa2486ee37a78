"""The values of options, where nothing about them can be wrong: typer would import pydantic to return them as they are.

That takes as long as importing numpy. Whatever is not plainly right goes to typer, which converts it or says what is
wrong with it.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperOption

_INTEGER, _NUMBER = re.compile(r"-?[0-9]{1,18}"), re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_UNKNOWN = object()


def with_short_cut(parameter: Any) -> Any:
    """The parameter, which from now on returns values that are plainly right without typer's validation."""
    known = isinstance(parameter, TyperArgument | TyperOption) and not parameter.required
    if known and "process_value" not in vars(parameter):
        parameter.process_value = partial(_processed, parameter, parameter.process_value)
    return parameter


def _processed(parameter: Any, usual: Any, context: Any, value: Any) -> Any:
    if getattr(parameter, "multiple", False) and isinstance(value, str):  # one alone in `vdistill.toml`
        value = [value]
    try:
        found = _value(parameter, value)
    except AttributeError:  # a later typer may keep what is looked at here under other names
        found = _UNKNOWN
    if found is _UNKNOWN:
        return usual(context, value)
    return found if parameter.callback is None else parameter.callback(context, parameter, found)


def _value(parameter: Any, value: Any) -> Any:
    """The value as the command wants it; _UNKNOWN where typer has to look at it."""
    kind = parameter.type_descriptor
    if kind.parameter_info.parser is not None or kind.parameter_info.clamp:
        return _UNKNOWN
    many = parameter.multiple or parameter.nargs == -1
    if value is None:
        return () if many else None
    if not many:
        return _UNKNOWN if kind.is_list or kind.is_tuple else _single(parameter, kind.annotation, value)
    if not isinstance(value, list | tuple) or not kind.is_list:
        return _UNKNOWN
    values = [_single(parameter, kind.annotation.__args__[0], one) for one in value]
    return _UNKNOWN if _UNKNOWN in values else values


def _single(parameter: Any, wanted: Any, value: Any) -> Any:
    kind = parameter.type_descriptor
    if kind.is_choice:
        return value if isinstance(value, str) and value in kind.choices else _UNKNOWN
    if wanted in (int, float):
        return _number(parameter, wanted, value)
    if wanted is Path:
        return _path(kind.parameter_info, value)
    return value if wanted is str and isinstance(value, str) else _UNKNOWN


def _number(parameter: Any, wanted: type, value: Any) -> Any:
    pattern = _INTEGER if wanted is int else _NUMBER
    if isinstance(value, str):
        found = wanted(value) if pattern.fullmatch(value) else _UNKNOWN
    else:
        found = value if type(value) is wanted else _UNKNOWN
    if found is _UNKNOWN:
        return found
    low = parameter.min is None or found >= parameter.min
    return found if low and (parameter.max is None or found <= parameter.max) else _UNKNOWN


def _path(info: Any, value: Any) -> Any:
    """A path that nothing is asked of, but that it can be read where there is something."""
    if not isinstance(value, str | Path) or "\0" in str(value) or not (info.file_okay and info.dir_okay):
        return _UNKNOWN
    if info.exists or info.writable or info.resolve_path or info.path_type is not None:
        return _UNKNOWN
    return Path(value) if os.access(value, os.R_OK) or not os.path.lexists(value) else _UNKNOWN

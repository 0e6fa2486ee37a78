"""The names that `--teacher` takes: one, or several that make a jury, each perhaps with a server of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vdistill.errors import VdistillError

_SERVER = re.compile(r"@(?=https?://)")


def given(value: str | Sequence[str]) -> list[str]:
    """The names in a value of `--teacher`. Raises VdistillError where one is named twice, and for people in a jury."""
    from vdistill.label.settings import PERSON

    names = [value] if isinstance(value, str) else list(value)
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise VdistillError(f"--teacher {twice} is given twice", hint="a jury is of different teachers: leave one out")
    person = next((name for name in names if name.partition(":")[0] == PERSON), None)
    if person is not None and len(names) > 1:
        raise VdistillError(
            f"--teacher {person} cannot be in a jury: people judge on a page, at their own pace",
            hint=f"run `vdistill label --teacher {person}` by itself; its answers and the jury's are weighed together",
        )
    return names


def and_server(name: str) -> tuple[str, str | None]:
    """A name without the address of its own server, and that address: `MODEL@http://HOST:PORT`."""
    model, *address = _SERVER.split(name, maxsplit=1)
    return model, address[0] if address else None


def one_of(names: str | Sequence[str] | None, why: str) -> str | None:
    """The only name. Raises VdistillError where several are given.  why: what needs one."""
    if names is None or isinstance(names, str):
        return names
    if len(names) > 1:
        raise VdistillError(f"{why} takes one teacher, and {len(names)} are given", hint=f"--teacher {names[0]}, say")
    return names[0] if names else None


def flags(teachers: Sequence[str] | None, endpoints: Sequence[str] | None) -> list[str]:
    """The same teachers and servers, as flags of `vdistill label`."""
    named = [part for name in teachers or () for part in ("--teacher", name)]
    return named + [part for url in endpoints or () for part in ("--endpoint", url)]


def separated_by_commas(option: Any) -> None:
    """Let the environment hold several values of an option, separated by commas; names may have spaces."""

    def value_from_envvar(context: Any) -> list[str] | None:
        value = option.resolve_envvar_value(context)
        return None if value is None else [name for name in map(str.strip, value.split(",")) if name]

    option.value_from_envvar = value_from_envvar

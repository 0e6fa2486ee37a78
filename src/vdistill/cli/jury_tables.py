"""Several teachers side by side, for the terminal: who did what in a run, and what audits of them found."""

from collections.abc import Mapping, Sequence
from typing import Any


def jury_table(teachers: Sequence[Mapping[str, Any]]) -> Any:
    """One row for each teacher of a jury."""
    table = _table("who judged", ("calls", "judgments", "share", "bits", "agreement", "noise", "usd", "seconds"))
    for one in teachers:
        table.add_row(
            _name(one), f"{one['calls']:,}", f"{one['judgments']:,}", _percent(one["share"]), _number(one["bits"]),
            _percent(one["agreement"]), _number(one["noise"]), f"{one['cost_usd']:,.4f}", f"{one['seconds']:,.1f}",
        )  # fmt: skip
    return table


def comparison_table(found: Mapping[str, Any]) -> Any:
    """One row for each teacher, then the mixture, then the cost table."""
    from rich.console import Group
    from rich.text import Text

    first = _table(
        f"{len(found['teachers'])} teachers on the same images, {found['images_per_call']} a call",
        ("bits", "bits/$", "bits/s", "agreement", "flips", "reliability", "answered", "verdict"),
    )
    for one in found["teachers"]:
        first.add_row(
            _name(one), _number(one["bits"]), _large(one["bits_per_usd"]), _large(one["bits_per_second"]),
            _percent(one["agreement"]), _percent(one["flip_rate"]), _number(one["reliability"]),
            _percent(one["answered"]), one["verdict"],
        )  # fmt: skip
    costs = _table("what it cost, and what to buy", ("calls", "usd", "usd a call", "s a call", "buy", "for usd"))
    for one in found["teachers"]:
        costs.add_row(
            _name(one), f"{one['calls']:,}", f"{one['cost_usd']:,.4f}", _price(one["usd_per_call"]),
            f"{one['seconds_per_call']:,.3f}", f"{one['buy_calls']:,}", _price(one["buy_usd"]),
        )  # fmt: skip
    return Group(first, costs, Text(found["advice"], style="bold"))


def _table(title: str, columns: Sequence[str]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("teacher", overflow="fold")
    for name in columns:
        table.add_column(name, justify="left" if name == "verdict" else "right")
    return table


def _name(one: Mapping[str, Any]) -> Any:
    from rich.text import Text

    return Text(one["name"] + (" (gone)" if one.get("gone") else ""))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _large(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _price(value: float | None) -> str:
    return "–" if value is None else f"{value:,.5g}"

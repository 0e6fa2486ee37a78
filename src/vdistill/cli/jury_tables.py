"""Several teachers side by side, for the terminal: who did what in a run, and what audits of them found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vdistill.cli.console import printable

UNKNOWN = "–"
_ANY_WIDTH = 1000  # columns


def jury_table(teachers: Sequence[Mapping[str, Any]]) -> Any:
    """One row for each teacher of a jury."""
    columns = ("calls", "judgments", "share", "bits", "agreement", "noise", "usd", "seconds")
    cells = [
        (
            f"{one['calls']:,}", f"{one['judgments']:,}", _percent(one["share"]), _number(one["bits"]),
            _percent(one["agreement"]), _number(one["noise"]), f"{one['cost_usd']:,.4f}", f"{one['seconds']:,.1f}",
        )
        for one in teachers
    ]  # fmt: skip
    return _Rows("who judged", columns, _names(teachers), cells)


def comparison_table(found: Mapping[str, Any]) -> Any:
    """One row for each teacher, then the mixture, then the cost table."""
    from rich.console import Group
    from rich.text import Text

    teachers = found["teachers"]
    told = [
        (
            _number(one["bits"]), _large(one["bits_per_usd"]), _large(one["bits_per_second"]),
            _percent(one["agreement"]), _percent(one["flip_rate"]), _number(one["reliability"]),
            _percent(one["answered"]), one["verdict"],
        )
        for one in teachers
    ]  # fmt: skip
    costs = [
        (
            f"{one['calls']:,}", f"{one['cost_usd']:,.4f}", _price(one["usd_per_call"]),
            _seconds(one["seconds_per_call"]), f"{one['buy_calls']:,}", _price(one["buy_usd"]),
        )
        for one in teachers
    ]  # fmt: skip
    title = f"{len(teachers)} teachers on the same images, {found['images_per_call']} a call"
    columns = ("bits", "bits/$", "bits/s", "agreement", "flips", "reliability", "answered", "verdict")
    bought = ("calls", "usd", "usd a call", "s a call", "buy", "for usd")
    return Group(
        _Rows(title, columns, _names(teachers), told),
        _Rows("what it cost, and what to buy", bought, _names(teachers), costs),
        Text(found["advice"], style="bold"),
    )


@dataclass(frozen=True)
class _Rows:
    """A table with a row for each teacher. Where it is too narrow for their names, they are numbered and named below.

    A column in which nothing is known is left out.
    """

    title: str
    columns: Sequence[str]
    names: Sequence[str]
    cells: Sequence[Sequence[str]]

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """The renderables that rich shows instead."""
        from rich.measure import Measurement
        from rich.text import Text

        wide = self._table("teacher", self.names)
        if Measurement.get(console, options.update(max_width=_ANY_WIDTH), wide).maximum <= options.max_width:
            yield wide
            return
        numbers = [str(number) for number in range(1, len(self.names) + 1)]
        yield self._table("#", numbers)
        yield Text("\n".join(f"  {number}  {name}" for number, name in zip(numbers, self.names, strict=True)) + "\n")

    def _table(self, heading: str, names: Sequence[str]) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        known = [place for place in range(len(self.columns)) if any(row[place] != UNKNOWN for row in self.cells)]
        table = Table(title=Text(self.title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column(heading)
        for place in known:
            table.add_column(self.columns[place], justify="left" if self.columns[place] == "verdict" else "right")
        for name, row in zip(names, self.cells, strict=True):
            table.add_row(Text(name), *(Text(row[place]) for place in known))
        return table


def _names(teachers: Sequence[Mapping[str, Any]]) -> list[str]:
    return [printable(one["name"]) + (" (gone)" if one.get("gone") else "") for one in teachers]


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _large(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0%}"


def _seconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.3f}"


def _price(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.5g}"

"""Metrics as a table: one metric per row, one model per column, intervals beside the means or below them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vdistill.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table
    from rich.text import Text

Metrics = Mapping[str, float]
Intervals = Mapping[str, Sequence[float]]

_WIDTH = 14  # of a model's name
_DIFFERENCE = "student-backbone"  # the key of the paired difference among the intervals


@dataclass(frozen=True)
class MetricsTable:
    """A renderable for rich, laid out for the width it gets: intervals stand beside the means where there is room.

    Where there are more models than the width allows, the last ones have a table of their own.
    """

    models: Mapping[str, Metrics]
    title: str
    ci95: Mapping[str, Intervals]
    caption: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        """What rich asks for."""
        left, title = list(self.models), self.title
        while left:
            count, table = next(
                (count, table)
                for count in range(len(left), 0, -1)
                for between in (" ", "\n")
                for table in [self._table(between, left[:count], title, last=count == len(left))]
                if count == 1 or _width(console, options, table) <= options.max_width
            )
            yield table
            left, title = left[count:], ""

    def _table(self, between: str, models: Sequence[str], title: str, *, last: bool) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        caption = Text(self.caption, style="dim") if self.caption and last else None
        table = Table(title=Text(title, style="bold") if title else None, title_justify="left", box=SIMPLE_HEAD,
                      caption=caption, caption_justify="left")  # fmt: skip
        gains = last and _DIFFERENCE in self.ci95 and {"student", "backbone"} <= self.models.keys()
        table.add_column("metric", no_wrap=True)
        for name in [*models, *(["gain"] if gains else [])]:
            table.add_column(_heading(name), justify="right", no_wrap=True)
        for metric in _in_order({name for model in models for name in self.models[model]}):
            means = self._means(metric, between, models)
            table.add_row(metric, *means, *([self._gain(metric, between)] if gains else []))
        return table

    def _means(self, metric: str, between: str, models: Sequence[str]) -> list[Text]:
        """A cell for each of `models`; the best of them, the teacher aside, is bold."""
        best = max((found.get(metric, -1.0) for name, found in self.models.items() if name != "teacher"), default=0.0)
        return [
            _cell(found.get(metric), self.ci95.get(name, {}).get(metric), between, bold=found.get(metric) == best)
            for name, found in ((name, self.models[name]) for name in models)
        ]

    def _gain(self, metric: str, between: str) -> Text:
        """Student minus backbone; green or red where the interval excludes zero."""
        student, backbone = (self.models[name].get(metric) for name in ("student", "backbone"))
        if student is None or backbone is None:
            return _cell(None, None, between)
        interval = self.ci95[_DIFFERENCE].get(metric)
        cell = _cell(student - backbone, interval, between, signed=True)
        if interval is not None and not interval[0] <= 0 <= interval[1]:
            cell.stylize("green" if interval[0] > 0 else "red")
        return cell


def metrics_table(
    models: Mapping[str, Metrics | None], title: str, ci95: Mapping[str, Intervals] | None = None, caption: str = ""
) -> MetricsTable:
    """A table of `models` (model → metric → value) to print through rich; a model without metrics has no column.

    ci95: model → metric → (low, high), and under `student-backbone` that of the paired difference.
    """
    return MetricsTable({name: found for name, found in models.items() if found}, title, ci95 or {}, caption)


def _width(console: Console, options: ConsoleOptions, table: Table) -> int:
    return console.measure(table, options=options.update_width(10_000)).maximum


def _heading(name: str) -> Text:
    """The name of a model, a long one in lines."""
    from textwrap import wrap

    from rich.text import Text

    return Text("\n".join(wrap(name, _WIDTH)))


def _in_order(found: set[str]) -> list[str]:
    return sorted(found, key=lambda name: (list(METRICS).index(name) if name in METRICS else len(METRICS), name))


def _cell(
    value: float | None, interval: Sequence[float] | None, between: str, *, bold: bool = False, signed: bool = False
) -> Text:
    from rich.text import Text

    if value is None:
        return Text("–", style="dim")
    cell = Text(f"{value:+.3f}" if signed else f"{value:.3f}", style="bold" if bold else "")
    if interval is not None and interval[0] != interval[1]:
        ends = [f"{end:+.2f}" if signed else f"{end:.2f}" for end in interval]
        if between == "\n":  # little room
            ends = [re.sub(r"^([+-]?)0\.", r"\1.", end) for end in ends]
        cell.append(f"{between}{ends[0]}…{ends[1]}", style="dim not bold")
    return cell

"""How far people agree with teachers, with one another and with themselves, for the terminal."""

from collections.abc import Sequence
from typing import Any


def agreement_table(found: Sequence[dict[str, Any]]) -> Any:
    """One row for each pair of judges, and one for a person asked again."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text("agreement on the best image"), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("judges", overflow="fold")
    for name in ("agree", "95 %", "chance", "questions"):
        table.add_column(name, justify="right")
    for row in found:
        one, other = row["judges"]
        name = f"{one}, asked again" if one == other else f"{one} and {other}"
        table.add_row(Text(name), *_numbers(row))
        if "fair" in row:
            table.add_row(Text("  on questions that were not chosen for dispute"), *_numbers(row["fair"]))
    return table


def _numbers(row: dict[str, Any]) -> tuple[str, ...]:
    low, high = row["ci95"]
    return f"{row['agreement']:.0%}", f"{low:.0%}–{high:.0%}", f"{row['chance']:.0%}", str(row["questions"])

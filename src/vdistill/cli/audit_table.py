"""The findings of an audit for the terminal."""

from collections.abc import Sequence
from typing import Any


def audit_table(facts: dict[str, Any]) -> Any:
    """The findings of an audit for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"audit of {facts['teacher']}"), title_justify="left", box=SIMPLE_HEAD)
    for name in (
        "pictures",
        "calls",
        "flips",
        "chance",
        "reliability",
        "bias",
        "bits",
        "bits/1k tok.",
    ):
        table.add_column(name, justify="right")
    for size in facts["sizes"]:
        per_token = size["bits_per_1000_tokens"]
        table.add_row(
            str(size["images"]),
            str(size["calls"]),
            f"{size['flip_rate']:.2f}",
            f"{size['chance']:.2f}",
            f"{size['reliability']:.2f}",
            f"{size['position_bias']:.2f}",
            f"{size['bits']:.2f}",
            "–" if per_token is None else f"{per_token:.2f}",
        )
    facts_of = Table(box=SIMPLE_HEAD, show_header=False)
    facts_of.add_column(style="bold")
    facts_of.add_column(overflow="fold")
    for name, value in _findings(facts):
        facts_of.add_row(name, Text(value))
    verdict = Text(f"{facts['verdict']}: {facts['reason']}", style="bold")
    return Group(table, facts_of, verdict)


def _findings(facts: dict[str, Any]) -> list[tuple[str, str]]:
    def with_interval(values: Sequence[float]) -> str:
        return f"{values[0]:.2f}  [{values[1]:.2f}, {values[2]:.2f}]"

    def share(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    return [
        ("reliability", with_interval(facts["reliability"])),
        ("hears the query", with_interval(facts["hears_query"])),
        ("says the same again", share(facts["self_agreement"])),
        ("ties", share(facts["tie_rate"])),
        ("like the backbone", share(facts["backbone"])),
        ("answers", "probabilities" if facts["soft"] else "bare choices or orders"),
        ("calls", f"{facts['calls']:,}, {facts['failed']:,} failed, ${facts['cost_usd']:,.4f}"),
        ("pictures a call", f"{facts['images_per_call']} tell most"),
    ]

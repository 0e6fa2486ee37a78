"""What an audit found, for the terminal."""

from collections.abc import Sequence
from typing import Any

SIZES = {
    "flips": "flip_rate",
    "chance": "chance",
    "reliability": "reliability",
    "bias": "position_bias",
    "bits": "bits",
    "bits/1k tok.": "bits_per_1000_tokens",
}


def audit_table(facts: dict[str, Any]) -> Any:
    """One row per number of images shown, then the findings about the teacher, then the verdict.

    Of a teacher that scores each image by itself there are no such rows.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = Text(f"audit of {facts['teacher']}")
    sizes = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in ("images", "calls", *SIZES):
        sizes.add_column(name, justify="right")
    for size in facts["sizes"]:
        sizes.add_row(str(size["images"]), str(size["calls"]), *(_number(size[key]) for key in SIZES.values()))
    findings = Table(box=SIMPLE_HEAD, show_header=False)
    findings.add_column(style="bold")
    findings.add_column(overflow="fold")
    for name, value in _findings(facts).items():
        findings.add_row(name, Text(value))
    head = sizes if facts["sizes"] else Text.assemble(" ", (title.plain, "italic"), "\n")
    return Group(head, findings, Text(f"{facts['verdict']}: {facts['reason']}", style="bold"))


def _findings(facts: dict[str, Any]) -> dict[str, str]:
    scores = not facts["sizes"]
    found = {
        "reliability": _with_interval(facts["reliability"]),
        "query sensitivity": _with_interval(facts["hears_query"]),
        "self-agreement": _number(facts["self_agreement"]),
        "ties": _number(facts["tie_rate"]),
        "agreement with the backbone": _number(facts["backbone"]),
        "answers": _kind(facts),
        "probability of the letters": _number(facts["coverage"]),
        "thoughts": f"{facts['thought_tokens']:,.0f} tokens an answer",
        "none of these": _with_interval(facts["none"]),
        "calls": f"{facts['calls']:,}, {facts['failed']:,} failed, ${facts['cost_usd']:,.4f}",
        "best images per call": str(facts["images_per_call"]),
    }
    unasked = ("reliability", "probability of the letters", "none of these", "best images per call") if scores else ()
    return {name: value for name, value in found.items() if name not in unasked}


def _kind(facts: dict[str, Any]) -> str:
    if not facts["sizes"]:
        return "scores of single images: a call is an image"
    return "probabilities" if facts["soft"] else "hard labels or rankings"


def _with_interval(values: Sequence[float] | None) -> str:
    return "–" if values is None else f"{values[0]:.2f}  [{values[1]:.2f}, {values[2]:.2f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"

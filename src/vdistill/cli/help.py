"""What `--help` prints: plain text, because importing rich takes as long as all the rest."""

from __future__ import annotations

import re
from typing import Any

import typer

WIDTH = 100  # columns at most
_LISTS = re.compile(r"<list\[(\w+)\]>")  # the types of options that can be repeated


def help_of(command: Any, context: Any) -> str:
    """The help of a command or of the program."""
    context.max_content_width = WIDTH
    formatter = context.make_formatter()
    command.format_help(context, formatter)
    return str(formatter.getvalue()).rstrip("\n")


def write_options(command: Any, context: Any, formatter: Any) -> None:
    """Arguments, then options, in sections that are named by their panels."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:  # hidden
            continue
        usual, record = "Options", (_LISTS.sub(_one_of, record[0]), record[1])
        if parameter.param_type_name == "argument":
            usual, record = "Arguments", (record[0].partition(" <")[0], record[1])  # its type would be Python's name
        sections.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
    for name, records in sections.items():
        if records:
            write_section(formatter, name, records)


def _one_of(found: re.Match[str]) -> str:
    return f"<{found[1].lower()}>"


def write_section(formatter: Any, name: str, rows: list[tuple[str, str]]) -> None:
    """A table below its heading, which is bold; click takes that out where no terminal shows it."""
    with formatter.section(typer.style(name, bold=True)):
        formatter.write_dl(rows)

"""All commands as click sees them; each is imported when it is first needed, so `--help` starts in a blink."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup

from vdistill.cli.command import SessionCommand, complete
from vdistill.cli.help import help_of, write_options, write_section
from vdistill.cli.values import with_short_cut


class Named(NamedTuple):
    """Where a command is, and the line about it in `vdistill --help`: the docstring of its class."""

    module: str
    name: str
    help: str

    def load(self) -> type:
        """The dataclass of its options."""
        return cast("type", getattr(importlib.import_module(self.module), self.name))


COMMANDS = {
    "label": Named(
        "vdistill.cli.label",
        "LabelCommand",
        "Let a teacher judge a sample of the catalog; each answer is stored as it comes.",
    ),
    "distill": Named(
        "vdistill.cli.distill",
        "DistillCommand",
        "Train the student on the teacher's judgments. Further options: docs/cli.md.",
    ),
    "index": Named(
        "vdistill.cli.index", "IndexCommand", "Embed the catalog, and publish the bundle that `query` reads."
    ),
    "query": Named("vdistill.cli.query", "QueryCommand", "Search the catalog."),
    "serve": Named(
        "vdistill.cli.serve", "ServeCommand", "Answer searches over HTTP, from this machine or with a token."
    ),
    "bench": Named(
        "vdistill.cli.bench",
        "BenchCommand",
        "Measure backbone, student and teacher on held-out queries and images.",
    ),
}


class Program(TyperGroup):
    """`vdistill` itself: it lists its commands without importing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast("Any", _Commands(self))

    def get_params(self, ctx: Any) -> list[Any]:
        """The options before the command's name."""
        return [with_short_cut(parameter) for parameter in super().get_params(ctx)]

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of a session."""
        return list(COMMANDS)

    def get_help(self, ctx: Any) -> str:
        """What `vdistill --help` prints."""
        return help_of(self, ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options, then the commands."""
        write_options(self, ctx, formatter)
        write_section(formatter, "Commands", [(name, named.help) for name, named in COMMANDS.items()])


class _Commands(Mapping[str, TyperCommand]):
    """The commands by name, each made when it is first asked for."""

    def __init__(self, program: TyperGroup) -> None:
        self._program = program
        self._made: dict[str, TyperCommand] = {}

    def __getitem__(self, name: str) -> TyperCommand:
        if name not in self._made:
            self._made[name] = complete(_command(name, COMMANDS[name].load()), self._program)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _command(name: str, options: type) -> TyperCommand:
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=SessionCommand)(options)
    return cast("TyperCommand", typer.main.get_command(alone))

"""How a dataclass becomes a command: its docstring is the help, its fields are the options, `execute` does the work."""

from __future__ import annotations

from typing import Any, Protocol, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from vdistill.cli.help import help_of, write_options
from vdistill.cli.session import Session, is_typed
from vdistill.cli.teacher_names import separated_by_commas
from vdistill.cli.values import with_short_cut

COMMON = ("workspace", "quiet", "debug")  # options of the program that may stand after a command's name too


class Interrupted(Exception):
    """Ctrl-C, after the stages have stored what was finished; click would turn a KeyboardInterrupt into Abort."""


class Executable(Protocol):
    """A command with the values of its options."""

    def execute(self, session: Session) -> None:
        """Do the work and print the result."""


class SessionCommand(TyperCommand):
    """A command that makes the dataclass of its options and executes it."""

    def parsed(self, context: typer.Context) -> Executable:
        """The command as flags, environment and `vdistill.toml` give it."""
        assert self.callback is not None
        own = {name: value for name, value in context.params.items() if name not in COMMON}
        return cast("Executable", self.callback(**own))

    def get_params(self, ctx: Any) -> list[Any]:
        """The arguments and options."""
        return [with_short_cut(parameter) for parameter in super().get_params(ctx)]

    def get_help(self, ctx: Any) -> str:
        """What `--help` prints."""
        return help_of(self, ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The arguments and options."""
        write_options(self, ctx, formatter)

    def invoke(self, context: Any) -> None:
        """Execute the command."""
        session = Session(context, _nearest(context, "workspace"), _nearest(context, "quiet"))
        try:
            context.invoke(self.parsed(context).execute, session)
        except KeyboardInterrupt:
            raise Interrupted from None


def complete(command: TyperCommand, program: TyperGroup) -> TyperCommand:
    """Give a command the common options, and every option its environment variable.

    click's own `auto_envvar_prefix` names variables after fields (`as_json`) instead of flags, and typer would show
    them in every line of the help.
    """
    command.params += [option for option in program.params if option.name in COMMON]
    for option in command.params:
        if isinstance(option, TyperOption):
            option.envvar = f"VDISTILL_{flag_name(option).upper().replace('-', '_')}"
            option.show_envvar = False
            if option.name == "teacher" and option.multiple:
                separated_by_commas(option)
    return command


def flag_name(parameter: Any) -> str:
    """The long name of a parameter without its dashes: its key in `vdistill.toml`."""
    return str(max(parameter.opts, key=len)).lstrip("-")


def configured(session: Session, name: str, *arguments: str) -> Any:
    """Another command with these arguments, and for the rest by environment and `vdistill.toml`."""
    program: Any = session.context.parent
    command = program.command.commands[name]
    return command.parsed(command.make_context(name, list(arguments), parent=program))


def _nearest(context: typer.Context, name: str) -> Any:
    """A common option: as typed after the command, else before it, else by environment, file and default."""
    before = context.parent
    if before is not None and is_typed(before, name) and not is_typed(context, name):
        return before.params[name]
    return context.params[name]

"""`vdistill`: the commands, their defaults from `vdistill.toml`, and the exit codes."""

import functools
import os
import sys
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from typer.exceptions import TyperException

from vdistill import __version__
from vdistill.cli import config, console, parts
from vdistill.cli.command import Interrupted, flag_name
from vdistill.cli.program import COMMANDS, Program
from vdistill.errors import GateError, VdistillError

DONE, FAILED, GATE, INTERRUPTED = 0, 1, 3, 130

app = typer.Typer(
    name="vdistill",
    cls=Program,
    help="Teach a CLIP-like model what a vision-language model thinks of your catalog, and search with it.",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        console.result(f"vdistill {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="The .vdistill folder to use.", show_default=False)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notices and no progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Declare the options that every command has; `SessionCommand` reads them."""


def exit_code(arguments: list[str]) -> int:
    """Run one command; 0 done, 1 failed, 2 wrong usage, 3 a gate not met, 130 interrupted."""
    console.never_fail()
    debug = "--debug" in arguments or os.environ.get("VDISTILL_DEBUG", "0").lower() not in ("", "0", "false", "no")
    try:
        code = _call(arguments)
        sys.stdout.flush()
        return code
    except GateError as error:
        console.failure(error, debug=debug)
        return GATE
    except VdistillError as error:
        console.failure(error, debug=debug)
        return FAILED
    except (Interrupted, KeyboardInterrupt):
        console.notice("interrupted: all finished work is kept, the same command continues from there")
        return INTERRUPTED
    except TyperException as error:
        return _usage(error)
    except (BrokenPipeError, console.ReaderGoneError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (OSError, MemoryError, UnicodeError) as error:
        console.failure(VdistillError(str(error) or "out of memory", hint="--debug shows where"), debug=debug)
        return FAILED


def _call(arguments: list[str]) -> int:
    """The command itself, with the defaults of `vdistill.toml`; what goes wrong is raised."""
    given = defaults(Path.cwd())
    try:
        code = program().main(args=arguments, prog_name="vdistill", standalone_mode=False, default_map=given)
    except typer.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ").rstrip(".")  # of typer's choices, in its own words
        raise _of_file(error) or error from None
    except ModuleNotFoundError as error:
        command = next((name for name in arguments if name in COMMANDS), "")
        raise parts.lacking(error.name or "", command) or error from error
    return code if isinstance(code, int) else DONE


def _of_file(error: typer.BadParameter) -> VdistillError | None:
    """The error of a value that stands in `vdistill.toml`; None for one that was typed or exported."""
    context, option = error.ctx, error.param
    if not context or not option or getattr(context.get_parameter_source(option.name), "name", "") != "DEFAULT_MAP":
        return None
    name = flag_name(option)
    return VdistillError(
        f"{config.find(Path.cwd())}: {name}: {error.message}", hint=f"change it there, or give --{name}"
    )


def _usage(error: TyperException) -> int:
    show = getattr(error, "show", None)
    if show is not None:
        show()
    return int(getattr(error, "exit_code", 2))


@functools.cache
def program() -> Program:
    """All commands as click sees them."""
    group = typer.main.get_command(app)
    assert isinstance(group, Program)
    return group


def defaults(folder: Path) -> dict[str, dict[str, Any]]:
    """What the `vdistill.toml` of `folder` says, by command and parameter."""
    path = config.find(folder)
    if path is None:
        return {}
    found = {}
    for command, values in config.defaults(path, flags()).items():
        known = {flag_name(parameter): parameter for parameter in program().commands[command].params}
        found[command] = {known[flag].name: _listed(known[flag], value) for flag, value in values.items()}
    return found


def _listed(parameter: Any, value: Any) -> Any:
    """A single text is one value of an option that takes several."""
    return [value] if getattr(parameter, "multiple", False) and isinstance(value, str) else value


def flags() -> dict[str, dict[str, config.Meaning | None]]:
    """The flags of each command, and what their values may be paths in."""
    common = get_type_hints(_common, include_extras=True)
    found = {}
    for name, command in COMMANDS.items():
        hints = common | get_type_hints(command.load(), include_extras=True)
        parameters = program().commands[name].params
        found[name] = {flag_name(parameter): config.meaning(hints[parameter.name]) for parameter in parameters}
    return found

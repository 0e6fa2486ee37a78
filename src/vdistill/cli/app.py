"""`vdistill`: the commands, their defaults from the environment and `vdistill.toml`, and the exit codes."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from vdistill import __version__
from vdistill.cli import bench, config, console, distill, index, label, query
from vdistill.cli.interrupts import after_imports
from vdistill.cli.session import (
    MEANINGS,
    DebugOption,
    Interrupted,
    QuietOption,
    WorkspaceOption,
    environment_workspace,
    flag_name,
)
from vdistill.errors import GateError, VdistillError

DONE, FAILED, GATE, INTERRUPTED = 0, 1, 3, 130

app = typer.Typer(
    name="vdistill",
    help="Teach a CLIP-like model what a vision-language model thinks of your catalog, and search with it.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(asked: bool) -> None:
    if asked:
        console.result(f"vdistill {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    workspace: WorkspaceOption = None,
    quiet: QuietOption = False,
    debug: DebugOption = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    ctx.obj = {"workspace": workspace or environment_workspace(), "quiet": quiet, "debug": debug}


for module in (label, distill, index, query, bench):
    module.register(app)


def run(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 failed, 2 wrong usage, 3 a gate not met, 130 interrupted."""
    try:
        with after_imports():
            return _run(arguments)
    except KeyboardInterrupt:  # in the last moment
        return INTERRUPTED


def _run(arguments: list[str] | None) -> int:
    console.never_fail()
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        code = main(arguments)
        sys.stdout.flush()
        return code
    except GateError as error:
        console.failure(error, debug=debug)
        return GATE
    except VdistillError as error:
        console.failure(error, debug=debug)
        return FAILED
    except (Interrupted, KeyboardInterrupt):
        console.notice("interrupted: all finished work is kept, the same command goes on from there")
        return INTERRUPTED
    except TyperException as error:
        return _usage(error)
    except (BrokenPipeError, console.ReaderGoneError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (OSError, MemoryError, UnicodeError) as error:
        console.failure(VdistillError(str(error) or "out of memory", hint="--debug shows where"), debug=debug)
        return FAILED


def main(arguments: list[str]) -> int:
    """The command itself, with the defaults of `vdistill.toml`; what goes wrong is raised."""
    group = typer.main.get_command(app)
    try:
        code = group.main(args=arguments, prog_name="vdistill", standalone_mode=False, default_map=defaults())
    except typer.BadParameter as error:
        raise _of_file(error) or error from None
    return code if isinstance(code, int) else DONE


def _of_file(error: typer.BadParameter) -> VdistillError | None:
    """The error of a value that stands in `vdistill.toml`; None for one that was typed or exported."""
    context, option = error.ctx, error.param
    if not context or not option or getattr(context.get_parameter_source(option.name), "name", "") != "DEFAULT_MAP":
        return None
    name = flag_name(option.opts, option.name)
    message = error.message.removeprefix("Value error, ").rstrip(".")
    return VdistillError(f"{config.find(Path.cwd())}: {name}: {message}", hint=f"change it there, or give --{name}")


def _usage(error: TyperException) -> int:
    show = getattr(error, "show", None)
    if show is not None:
        show()
    return int(getattr(error, "exit_code", 2))


def defaults() -> dict[str, Any]:
    """What `vdistill.toml` says, by command and parameter."""
    path = config.find(Path.cwd())
    if path is None:
        return {}
    group: Any = typer.main.get_command(app)
    names = {
        command: {flag_name(parameter.opts, parameter.name): parameter.name for parameter in found.params}
        for command, found in group.commands.items()
    }
    flags = {
        command: {flag: MEANINGS[command].get(name) for flag, name in known.items()} for command, known in names.items()
    }
    found = config.defaults(path, flags)
    return {
        command: {names[command][flag]: value for flag, value in values.items()} for command, values in found.items()
    }

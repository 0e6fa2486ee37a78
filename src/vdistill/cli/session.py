"""What every command has: the options that go everywhere, the workspace, and what it remembers."""

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from vdistill.cli import config, console
from vdistill.errors import VdistillError
from vdistill.workspace import FOLDER, Workspace, at, create, find

HOLDOUT = 0.2
HINT = "run `vdistill label CATALOG` or `vdistill index CATALOG` first, or give --workspace DIR"

WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", "-w", help="The .vdistill folder to use.", show_default=False)
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No notices and no progress.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
BackboneOption = Annotated[
    str | None,
    config.Meaning.PATH_OR_NAME,
    typer.Option(help="Hugging Face dual encoder: a hub id or a folder. Remembered.", show_default=False),
]
MEANINGS: dict[str, dict[str, config.Meaning | None]] = {}  # command → parameter → what paths it holds
COMMON = {"workspace": WorkspaceOption, "quiet": QuietOption, "debug": DebugOption}
_DEFAULTS = {"workspace": None, "quiet": False, "debug": False}


class Interrupted(Exception):
    """Ctrl-C, after the stages have put away what was finished."""


@dataclass(frozen=True)
class Session:
    """One call of one command.

    typed: the parameters given on the command line, not by environment or file.
    defaults: what `vdistill.toml` says, by command and parameter.
    """

    folder: Path | None
    quiet: bool
    debug: bool
    typed: frozenset[str] = frozenset()
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """A notice on stderr, unless --quiet."""
        if not self.quiet:
            console.notice(text)

    def find(self) -> Workspace | None:
        """The workspace, where there is one."""
        return at(self.folder) if self.folder else find(Path.cwd())

    def require(self) -> Workspace:
        """The workspace. Raises VdistillError where there is none."""
        found = self.find()
        if found is None:
            where = self.folder or f"{Path.cwd()} or above"
            raise VdistillError(f"no workspace in {where}: nothing was labelled or indexed here yet", hint=HINT)
        return found

    def create(self) -> Workspace:
        """The workspace, made beside `vdistill.toml` or in the current folder where there is none."""
        beside = config.find(Path.cwd())
        home = beside.parent if beside else Path.cwd()
        return create((self.find() or Workspace(self.folder or home / FOLDER)).root)


def remembered(workspace: Workspace | None, name: str) -> Any | None:
    """A setting that the workspace remembers."""
    from vdistill.database import Database

    if workspace is None or not workspace.database.is_file():
        return None
    with Database.open(workspace.database, write=False) as database:
        return database.setting(name)


def remember(workspace: Workspace, name: str, value: Any) -> None:
    """Make the workspace remember a setting."""
    from vdistill.database import Database

    with Database.open(workspace.database) as database:
        database.remember(name, value)


def pick_backbone(workspace: Workspace | None, given: str | None) -> str:
    """The backbone that was given, else the last one that was, else the default; a folder by its full path."""
    if given:
        return str(Path(given).resolve()) if Path(given).is_dir() else given
    return remembered(workspace, "backbone") or "openai/clip-vit-base-patch32"


def pick_catalog(workspace: Workspace | None, given: Path | None, name: str = "catalog") -> Path:
    """The catalog that was given, else the one remembered as `name`, else that of the judgments.

    Raises VdistillError where there is none.
    """
    if given is not None:
        return given
    known = remembered(workspace, name) or remembered(workspace, "catalog")
    if known is None:
        raise VdistillError(
            "no catalog given", hint="name the folder with your pictures, e.g. `vdistill label catalog/`"
        )
    return Path(known)


def pick_holdout(workspace: Workspace | None, given: float | None) -> float:
    """The held-out share that was given, else the one that the workspace was labelled with, else the default."""
    if given is not None:
        return given
    known = remembered(workspace, "holdout")
    return HOLDOUT if known is None else float(known)


def pick_model(workspace: Workspace, given: str | None) -> str:
    """The student where there is one."""
    if given is not None and given not in ("student", "backbone"):
        raise typer.BadParameter(f"{given!r} is neither 'student' nor 'backbone'", param_hint="--model")
    return given or ("student" if workspace.student.is_dir() else "backbone")


def price_table() -> tuple[dict[str, Any], str]:
    """The `[prices]` of `vdistill.toml`, and where they stand."""
    path = config.find(Path.cwd())
    return (config.prices(path), str(path)) if path else ({}, "")


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register `function(session, …)` as a command that has the common options and an environment name per option."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(ctx: typer.Context, **values: Any) -> Any:
            common = {key: _common(ctx, key, values.pop(key)) for key in COMMON}
            typed = frozenset(key for key in values if _typed(ctx, key))
            defaults = (ctx.parent and ctx.parent.default_map) or {}
            with _interrupts():
                session = Session(common["workspace"], common["quiet"], common["debug"], typed, defaults)
                return function(session, **values)

        own = list(inspect.signature(function).parameters.values())[1:]
        extra = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=_DEFAULTS[key])
            for key, kind in COMMON.items()
        ]
        MEANINGS[name] = {one.name: config.meaning(one.annotation) for one in [*own, *extra]}
        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        run.__signature__ = inspect.Signature([context, *map(_with_environment, own), *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in [context, *own, *extra]}
        app.command(name)(run)
        return function

    return register


def _common(ctx: typer.Context, key: str, value: Any) -> Any:
    """An option that may stand before the command too; what was typed or exported wins over `vdistill.toml`."""
    return value if _typed(ctx, key) or not ctx.obj[key] else ctx.obj[key]


def _typed(ctx: typer.Context, key: str) -> bool:
    return getattr(ctx.get_parameter_source(key), "name", "") == "COMMANDLINE"


def _with_environment(parameter: inspect.Parameter) -> inspect.Parameter:
    """Let the option be set as VDISTILL_<OPTION>."""
    info = next((arg for arg in get_args(parameter.annotation) if isinstance(arg, typer.models.OptionInfo)), None)
    if info is not None and info.envvar is None:
        info.envvar = f"VDISTILL_{flag_name(info.param_decls, parameter.name).upper().replace('-', '_')}"
        info.show_envvar = False
    return parameter


def flag_name(declarations: Any, name: str) -> str:
    """The long name of an option without its dashes."""
    long = [decl for decl in declarations or () if decl.startswith("--")]
    return (long[0].split("/")[0] if long else name).lstrip("-").replace("_", "-")


@contextmanager
def _interrupts() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted from None


def environment_workspace() -> Path | None:
    """VDISTILL_WORKSPACE."""
    value = os.environ.get("VDISTILL_WORKSPACE")
    return Path(value) if value else None

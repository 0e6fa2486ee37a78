"""One call of one command: its workspace, and what that remembers of earlier ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vdistill.cli import config, console
from vdistill.errors import VdistillError

if TYPE_CHECKING:
    from vdistill.workspace import Workspace

IGNORE_ROBOTS = "ignore_robots"
HINT = "run `vdistill label CATALOG` or `vdistill index CATALOG` first, or give --workspace DIR"

CACHE_GIB = 10.0
CatalogArgument = Annotated[
    str | None,
    config.Meaning.PATH,
    typer.Argument(help="Where the images are: a folder, or one of the other catalogs of docs/catalogs.md. Remembered.",
                   show_default=False),
]  # fmt: skip
CacheOption = Annotated[
    float | None,
    typer.Option("--cache-gib", min=0, help="Disk for images of a catalog that is elsewhere. Remembered.",
                 show_default=f"{CACHE_GIB:g}"),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ModelOption = Annotated[
    Literal["student", "backbone"] | None, typer.Option(help="Which model's index; the student's where there is one.")
]
BackboneOption = Annotated[
    str | None,
    config.Meaning.PATH_OR_NAME,
    typer.Option(help="Hugging Face dual encoder: a hub id or a folder. Remembered.", show_default=False),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        help="Where models run: ray (all cores of this machine), or a Ray cluster's HOST:PORT or ray://HOST:PORT.",
        show_default="this process",
    ),
]

DATABASES = "postgresql://USER@HOST/DATABASE, qdrant://HOST:PORT or qdrant+path:DIR"

RobotsOption = Annotated[
    bool | None,
    typer.Option(
        "--ignore-robots/--obey-robots",
        help="Fetch images even where their server's robots.txt or noai forbids it. Remembered.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Session:
    """One call of one command. folder: the workspace that was named, if any."""

    context: typer.Context
    folder: Path | None
    quiet: bool

    def say(self, text: str) -> None:
        """A notice on stderr, unless --quiet."""
        if not self.quiet:
            console.notice(text)

    def typed(self, *names: str) -> bool:
        """Whether any of these parameters stood on the command line, not only in the environment or a file."""
        return any(is_typed(self.context, name) for name in names)

    def find(self) -> Workspace | None:
        """The workspace, where there is one."""
        from vdistill.workspace import at, find

        return at(self.folder) if self.folder else find(Path.cwd())

    def require(self) -> Workspace:
        """The workspace. Raises VdistillError where there is none."""
        found = self.find()
        if found is None:
            where = self.folder or f"{Path.cwd()} or above"
            raise VdistillError(f"no workspace in {where}: nothing was labelled or indexed here yet", hint=HINT)
        return found

    def ignore_robots(self, ignore: bool | None, *, keep: bool = True) -> None:
        """Whether to do so from now on, where the user said it.  keep: in the workspace, for all commands."""
        from vdistill.sources.manners import obey_robots

        if ignore is not None:
            if keep:
                remember(self.create(), IGNORE_ROBOTS, ignore)
            obey_robots(lambda: not ignore)

    def create(self) -> Workspace:
        """The workspace, made beside `vdistill.toml` or in the current folder where there is none."""
        from vdistill.workspace import create

        return create(self._place().root)

    def cache_images(self, gib: float | None = None) -> None:
        """Let this process keep images of catalogs that are elsewhere, at most `gib` GiB or what is remembered."""
        from vdistill.sources.cache import use_cache
        from vdistill.sources.manners import obey_robots

        place = self._place()
        if gib is not None and place.database.is_file():
            remember(place, "cache_gib", gib)
        known = gib if gib is not None else remembered(place, "cache_gib")
        use_cache(place.cache / "images", CACHE_GIB if known is None else float(known))
        obey_robots(lambda: not remembered(place, IGNORE_ROBOTS))

    def _place(self) -> Workspace:
        """The workspace, or where it would be made."""
        from vdistill.workspace import FOLDER, Workspace

        settings_file = config.find(Path.cwd())
        home = settings_file.parent if settings_file else Path.cwd()
        return self.find() or Workspace(self.folder or home / FOLDER)


def is_typed(context: Any, name: str) -> bool:
    """Whether a parameter stood on the command line."""
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


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
    from vdistill.encoders.hub import DEFAULT_BACKBONE

    if given:
        return str(Path(given).resolve()) if Path(given).is_dir() else given
    return remembered(workspace, "backbone") or DEFAULT_BACKBONE


def pick_catalog(workspace: Workspace | None, given: str | None, name: str = "catalog") -> str:
    """The catalog that was given, else the one remembered as `name`, else that of the judgments.

    Raises VdistillError where there is none.
    """
    if given is not None:
        return given
    known = remembered(workspace, name) or remembered(workspace, "catalog")
    if known is None:
        raise VdistillError("no catalog given", hint="name the folder of your images, e.g. `vdistill label catalog/`")
    return str(known)


def pick_model(workspace: Workspace, given: str | None) -> str:
    """The model that was given, else the student where there is one, else the backbone."""
    return given or ("student" if workspace.student.is_dir() else "backbone")

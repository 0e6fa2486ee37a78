"""`vdistill serve`: nothing here may import torch."""

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vdistill.cli.session import ModelOption, Session, pick_model
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.serve.service import Service
    from vdistill.serve.settings import Settings

_people = partial(typer.Option, rich_help_panel="What people say")
_access = partial(typer.Option, rich_help_panel="Access")


@dataclass(frozen=True, kw_only=True)
class ServeCommand:
    """Answer searches over HTTP, from this machine or with a token."""

    pack: Annotated[
        Path | None,
        typer.Argument(
            help="What to serve instead: a pack (`vdistill index --pack`), or the folder of an index.",
            show_default=False,
        ),
    ] = None
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for a free one.")] = 8000
    model: ModelOption = None
    token_env: Annotated[
        str | None, _access(help="Variable that holds the token callers must send.", show_default=False)
    ] = None
    allow_host: Annotated[
        list[str] | None, _access(help="Name that the server may be called by.", show_default=False)
    ] = None
    allow_origin: Annotated[
        list[str] | None, _access(help="Origin of pages elsewhere that may call it.", show_default=False)
    ] = None
    image_urls: Annotated[bool, _access("--image-urls", help="Fetch images that callers name.")] = False
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Serve an agent over stdin and stdout (MCP), and listen nowhere.")
    ] = False
    access_log: Annotated[bool, typer.Option("--access-log", help="A line for each request, without its text.")] = False

    feedback: Annotated[bool, _people("--feedback", help="Let thumbs on results become judgments.")] = False
    log_searches: Annotated[
        Path | None,
        _people(help="Append searches to this .jsonl file, for `label --queries`; no addresses.", show_default=False),
    ] = None

    def execute(self, session: Session) -> None:
        """Serve until told to stop."""
        _import_numpy()
        try:
            from vdistill.serve.run import listen, run
            from vdistill.serve.service import Service
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in (
                "starlette",
                "uvicorn",
                "prometheus_client",
                "python_multipart",
            ):
                raise
            raise VdistillError("serving needs more packages", hint="pip install 'vdistill[serve]'") from error
        settings = self._settings()
        settings.check()
        if self.mcp and session.typed("host", "port", "token_env", "allow_host", "allow_origin", "access_log"):
            raise typer.BadParameter("listens nowhere: leave addresses and tokens out", param_hint="--mcp")
        served = self._index(session)
        if self.mcp:
            self._serve_agent(session, Service.at(*served[:2], settings, session.say, served[2]))
            return
        with listen(self.host, self.port) as listening:
            service = Service.at(*served[:2], settings, session.say, served[2])
            port = listening.getsockname()[1]
            host = f"[{self.host}]" if ":" in self.host else self.host
            run(service, listening, lambda: session.say(f"serving http://{host}:{port} (Ctrl-C ends it)"))

    def _serve_agent(self, session: Session, service: "Service") -> None:
        try:
            from vdistill.serve.agents.over_stdio import run
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
                raise
            raise VdistillError("--mcp needs the package mcp", hint="pip install 'vdistill[mcp]'") from error
        if sys.stdin.isatty():
            session.say("an agent starts this itself and speaks MCP on stdin and stdout; Ctrl-D ends it")
        run(service)

    def _index(self, session: Session) -> tuple[Path, Path, Workspace | None]:
        """The index to serve, up to date, a folder for what may be deleted, and the workspace unless it is a pack."""
        if self.pack is not None:
            from vdistill.query.search import Searcher

            Searcher.packed(self.pack, self.model).close()  # refused before anything listens
            return self.pack, user_cache(), None
        workspace = session.require()
        from vdistill.cli.fresh import open_searchers

        for searcher in open_searchers(session, workspace, [pick_model(workspace, self.model)], by_text=False).values():
            searcher.close()  # it is up to date now; the server opens it in its own way
        return workspace.index, workspace.cache, workspace

    def _settings(self) -> "Settings":
        from vdistill.serve.access import valid_hosts
        from vdistill.serve.settings import Settings

        hosts, origins = tuple(self.allow_host or ()), tuple(one.rstrip("/") for one in self.allow_origin or ())
        if not valid_hosts(hosts):
            raise typer.BadParameter("give the name alone, such as shop.example", param_hint="--allow-host")
        if not all(one.startswith(("http://", "https://")) and one.count("/") == 2 for one in origins):
            raise typer.BadParameter("give an origin, such as https://shop.example", param_hint="--allow-origin")
        return Settings(self.host, self.model, hosts, origins, self._token(), self.image_urls, self.access_log,
                        self.feedback, self.log_searches)  # fmt: skip

    def _token(self) -> str | None:
        if self.token_env is None:
            return None
        token = os.environ.get(self.token_env, "").strip()
        if not token:
            raise VdistillError(f"the variable {self.token_env} is empty", hint="put the token into it")
        return token


def user_cache() -> Path:
    """The user's own folder for what may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vdistill"


def _import_numpy() -> None:
    """With one thread a product, since requests share the cores: OpenBLAS lets its others spin for 30 ms after each."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = before or "1"
    import numpy  # noqa: F401

    if before is None:
        del os.environ[name]  # not for `vdistill index`, which may be called

"""`vdistill serve`: nothing here may import torch."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vdistill.cli.parts import require
from vdistill.cli.second_stage_options import StageCallsOption, StageEndpointOption, StageTeacherOption, second
from vdistill.cli.session import ModelOption, Session, pick_model
from vdistill.cli.teacher_names import one_of
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.query.second_stage import SecondStage
    from vdistill.serve.service import Service
    from vdistill.serve.settings import Settings

_people = partial(typer.Option, rich_help_panel="What people say")
LONGEST = 50  # seconds that a search waits for a teacher: its request is given up after a minute
OF_RERANK = ("teacher", "endpoint", "within", "rerank_calls", "budget", "max_cost", "calls_per_minute")
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

    why: Annotated[
        bool, typer.Option("--why", help="Let callers ask which judgments taught the student about a result.")
    ] = False
    feedback: Annotated[bool, _people("--feedback", help="Let thumbs on results become judgments.")] = False
    log_searches: Annotated[
        Path | None,
        _people(help="Append searches to this .jsonl file, for `label --queries`; no addresses.", show_default=False),
    ] = None

    rerank: Annotated[
        int | None,
        second(min=2, max=200, help="Let a teacher order the first N results of a POST with rerank.", metavar="N"),
    ] = None
    teacher: StageTeacherOption = None
    endpoint: StageEndpointOption = None
    within: Annotated[
        str,
        second(help="How long a search waits for it, e.g. 800ms; then the student's order counts.", metavar="TIME"),
    ] = "10s"
    rerank_calls: StageCallsOption = None
    budget: Annotated[int, second(min=1, help="Maximum teacher calls while it runs.")] = 1000
    max_cost: Annotated[float | None, second(min=0, help="Maximum US dollars while it runs.")] = None
    calls_per_minute: Annotated[int, second(min=1, help="Maximum teacher calls per minute.")] = 120

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
        self._check_second(session)
        served = self._index(session)
        if self.mcp:
            self._serve_agent(session, Service.at(*served[:2], settings, session.say, served[2]))
            return
        with listen(self.host, self.port) as listening, self._stage(session, served[2]) as second:
            service = Service.at(*served[:2], settings, session.say, served[2], second)
            port = listening.getsockname()[1]
            host = f"[{self.host}]" if ":" in self.host else self.host
            run(service, listening, lambda: session.say(f"serving http://{host}:{port} (Ctrl-C ends it)"))

    def _check_second(self, session: Session) -> None:
        if self.rerank is None and session.typed(*OF_RERANK):  # from elsewhere they are meant for label
            raise typer.BadParameter("goes with --rerank N", param_hint="--teacher, --endpoint, --within, …")
        if session.typed("rerank") and (self.pack is not None or self.mcp):
            why = "an agent" if self.mcp else "a pack, which has no workspace that keeps a teacher's answers"
            raise typer.BadParameter(f"is not for {why}", param_hint="--rerank")

    @contextmanager
    def _stage(self, session: Session, workspace: Workspace | None) -> "Iterator[SecondStage | None]":
        """What orders the first hits, opened before anything is answered."""
        if self.rerank is None or workspace is None:
            yield None
            return
        from vdistill.cli.opened_teacher import open_judging
        from vdistill.cli.second_stage import Asked
        from vdistill.label.second_stage.allowance import Allowance
        from vdistill.label.second_stage.live import LiveStage
        from vdistill.query.second_stage import seconds_of

        require("scipy")
        within = seconds_of(self.within)
        if within > LONGEST:
            raise VdistillError(
                f"--within is {self.within!r}: a search cannot wait so long", hint=f"give up to {LONGEST} s"
            )
        asked = Asked(self.rerank, one_of(self.teacher, "--rerank"), self.endpoint or ())
        command = asked.label(session, str(workspace.root))
        session.cache_images()
        with open_judging(session, workspace, command, self.model, self.rerank_calls, self.max_cost) as judging:
            allowance = Allowance(self.budget, self.max_cost, self.calls_per_minute)
            session.say(f"{judging.teacher.name} orders the first {self.rerank} results of searches that ask for it")
            yield LiveStage(judging, allowance, self.rerank, within, session.say)

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

        if self.why:
            from vdistill.cli.why import require_student

            require_student(workspace, self.model)

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
                        self.feedback, self.log_searches, self.why)  # fmt: skip

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

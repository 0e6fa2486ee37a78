"""`vdistill label`."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import config
from vdistill.cli.config import Meaning
from vdistill.cli.session import (
    BackboneOption,
    CacheOption,
    CatalogArgument,
    EngineOption,
    JsonOption,
    RobotsOption,
    Session,
    pick_backbone,
    pick_catalog,
    remembered,
)
from vdistill.cli.teacher_names import and_server, given
from vdistill.errors import VdistillError
from vdistill.label.settings import PERSON, GuideName, LabelSettings, ScheduleName
from vdistill.records import Ask
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.cli.label_task import LabelTask

DEFAULTS = LabelSettings(catalog="")
TEACHER = "qwen2-vl"
INSTEAD = ("dry_run", "audit", "export", "import_file", "cache_gib", "engine", "ignore_robots", "as_json", "batch",
           "batch_file")  # fmt: skip
MANNERS = ("api_key_env", "concurrency", "calls_per_minute")  # these change nothing that is asked
WORKERS = 4096  # calls at once on a cluster, at most: as many as it has room for
_teacher = partial(typer.Option, rich_help_panel="Teacher")
_question = partial(typer.Option, rich_help_panel="What is asked")
_instead = partial(typer.Option, rich_help_panel="Instead of asking")


@dataclass(frozen=True, kw_only=True)
class LabelCommand:
    """Let a teacher judge a sample of the catalog; each answer is stored as it comes."""

    catalog: CatalogArgument = None
    teacher: Annotated[
        list[str] | None,
        Meaning.TEACHER,
        _teacher(
            help="metadata, table:FILE, an alias (qwen2-vl, …), a model id or folder, rerank:MODEL, openai:MODEL, me; "
            "MODEL@URL on a server. Repeatable, of any kinds: a jury that shares the budget.",
            show_default=TEACHER,
        ),
    ] = None
    endpoint: Annotated[
        list[str] | None,
        _teacher(help="Ask an OpenAI-compatible server at this URL; several share the calls.", metavar="URL"),
    ] = None
    api_key_env: Annotated[
        str | None,
        _teacher(
            help="Environment variable with the server's key.",
            show_default="VDISTILL_API_KEY; OPENAI_API_KEY for OpenAI alone",
            metavar="NAME",
        ),
    ] = None
    think: Annotated[str, _teacher(help="off, low, or how many tokens a model may think before it answers.")] = "off"
    batch: Annotated[
        bool, _teacher("--batch", help="Submit a round to the server's batch API, or collect the last one.")
    ] = False
    batch_file: Annotated[
        Path | None, _teacher(help="Write a round for `vllm run-batch` to this file, or collect its results.")
    ] = None
    queries: Annotated[
        str | None,
        Meaning.PATH,
        _question(help=".txt, .jsonl, .csv or .parquet, a path or a URL; without it the built-in personas."),
    ] = None
    generate_queries: Annotated[
        int | None, _question(min=1, help="Let the teacher write this many queries that suit the catalog.")
    ] = None
    paraphrases: Annotated[
        int | None,
        _question(
            min=0, help="Other wordings of each training query from the teacher.", show_default="4 where it can write"
        ),
    ] = DEFAULTS.paraphrases
    budget: Annotated[
        int | None, _question(min=1, help="Maximum teacher calls; a score is one.", show_default="10 to 40 per query")
    ] = None
    max_cost: Annotated[float | None, _question(min=0, help="Maximum US dollars to spend.")] = None
    images_per_call: Annotated[str, _question(help="Images per call, 2 to 9; auto: by an audit.")] = str(
        DEFAULTS.images_per_call
    )
    ask: Annotated[
        Ask | None,
        _question(help="One forced choice, or a full order.", show_default="what tells more"),
    ] = None
    schedule: Annotated[
        ScheduleName,
        _question(help="What training queries are shown."),
    ] = DEFAULTS.schedule
    guide: Annotated[GuideName, _question(help="Whose scores pick an image of each training call.")] = DEFAULTS.guide
    pool: Annotated[int, _question(min=2, help="Images in a pool that queries share.")] = DEFAULTS.pool
    prompt: Annotated[Path | None, _teacher(help="TOML file with another wording of the question.")] = None
    max_pixels: Annotated[
        int | None,
        _teacher(min=784, help="Maximum pixels of an image as the teacher sees it.", show_default="by teacher"),
    ] = None
    concurrency: Annotated[int, _teacher(min=1, help="Calls at once, over HTTP, at each endpoint.")] = (
        DEFAULTS.concurrency
    )
    calls_per_minute: Annotated[int | None, _teacher(min=1, help="Maximum calls per minute, over HTTP.")] = None
    none: Annotated[
        bool | None,
        _question(
            "--none/--no-none",
            help='Offer "none of these" in every fourth call, so that it is known what fits at all.',
            show_default="on once an audit has shown that the teacher says it",
        ),
    ] = None
    holdout: Annotated[
        float | None,
        _question(
            min=0,
            max=0.9,
            help="Share of items and queries kept unseen. Remembered.",
            show_default=f"{DEFAULTS.holdout}",
        ),
    ] = None
    seed: Annotated[int, _question(help="Random seed.")] = DEFAULTS.seed
    backbone: BackboneOption = None
    engine: EngineOption = None
    ignore_robots: RobotsOption = None
    dry_run: Annotated[bool, _instead("--dry-run", help="Plan and price, ask nothing.")] = False
    audit: Annotated[int | None, _instead(help="Spend this many calls on measuring the teacher, and no more.")] = None
    export: Annotated[Path | None, _instead(help="Write all judgments to a .jsonl or .parquet file; ask nothing.")] = (
        None
    )
    import_file: Annotated[
        Path | None, _instead("--import", help="Import preference pairs, an export, or TREC qrels; ask nothing.")
    ] = None
    cache_gib: CacheOption = None
    as_json: JsonOption = False

    def execute(self, session: Session) -> None:
        """Ask the teacher, or do what was asked for instead."""
        from vdistill.cli import label_files, label_outputs

        session.cache_images(self.cache_gib)
        if self.export is not None:
            label_files.export_file(session, self.export, as_json=self.as_json)
            return
        if self.import_file is not None:
            label_files.import_file(session, self.import_file, self.settings(session), as_json=self.as_json)
            return
        session.ignore_robots(self.ignore_robots, keep=not self.dry_run)
        if self.teachers[0].partition(":")[0] == PERSON:
            self._judge_page(session)
            return
        self._check_unused(session)
        if self.dry_run and self.audit is not None:
            raise VdistillError("--audit asks the teacher, and --dry-run asks nobody", hint="leave one of them out")
        with self.task(session) as task:
            if self.audit is not None:
                label_outputs.show_audit(task.audit(self.audit), as_json=self.as_json)
                return
            task.set_size(self.images_per_call)
            report = task.plan() if self.dry_run else task.label()
        label_outputs.show_report(report.to_json(), planned=self.dry_run, batched=self.batched, as_json=self.as_json)

    def _judge_page(self, session: Session) -> None:
        from vdistill.cli.label_people import judge_page
        from vdistill.cli.label_task import images_per_call

        settings = self.settings(session)
        if self.images_per_call != "auto":
            settings = replace(settings, images_per_call=images_per_call(self.images_per_call))
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        judge_page(session, self.teachers[0], settings, given, as_json=self.as_json)

    def asked(self) -> dict[str, Any]:
        """What decides the questions and the answers: all options but those of what is done instead of asking."""
        others = (*INSTEAD, "ignore_robots")
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in others}
        names = self.teachers
        return found | {"teacher": names[0] if len(names) == 1 else names}

    @property
    def teachers(self) -> list[str]:
        """The names of the teachers, one or more."""
        return given(self.teacher or [TEACHER])

    def _check_unused(self, session: Session) -> None:
        """Say which options teachers ignore. Raises VdistillError for one that was typed and that none can use."""
        from vdistill.label.teachers.unused import refuse_unused

        names = [name for name in self.teachers if and_server(name)[1] is None]
        typed = {name for name in ("think", "endpoint") if session.typed(name) and getattr(self, name) != "off"}
        for note in refuse_unused(names, typed) if names else ():
            session.say(note)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The servers; several may stand in one text, with commas between them, as in the environment."""
        parts = re.split(r"[,\s]+(?=\w+://)", ",".join(self.endpoint or ()))
        return tuple(dict.fromkeys(found for part in parts if (found := part.strip(", \t"))))

    @property
    def batched(self) -> bool:
        """Whether questions are asked in batches."""
        return self.batch or self.batch_file is not None

    def _name(self) -> str:
        """A hash of what is asked: the runs of one command share their caps."""
        asked = {name: value for name, value in self.asked().items() if name not in MANNERS}
        asked["endpoint"] = next(iter(self.endpoints), None)
        if asked["none"] is None:  # as it was before there was this option
            del asked["none"]
        return hashlib.sha256(json.dumps(asked, default=str, sort_keys=True).encode()).hexdigest()[:16]

    def settings(self, session: Session) -> "LabelSettings":
        """The stage's settings, with what the workspace remembers. Raises VdistillError where no catalog is known."""
        found = session.find()
        return LabelSettings(
            catalog=pick_catalog(found, self.catalog),
            queries=self.queries,
            paraphrases=self.paraphrases,
            budget=self.budget,
            max_cost=self.max_cost,
            ask=self.ask or DEFAULTS.ask,
            schedule=self.schedule,
            guide=self.guide,
            backbone=pick_backbone(found, self.backbone) if self.backbone or self.guide == "backbone" else None,
            pool=self.pool,
            concurrency=self.concurrency * max(len(self.endpoints), 1) if self.engine is None else WORKERS,
            holdout=self._holdout(found),
            seed=self.seed,
        )

    def _holdout(self, workspace: Workspace | None) -> float:
        """The held-out share that was given, else the one that the workspace was labelled with, else the default."""
        if self.holdout is not None:
            return self.holdout
        known = remembered(workspace, "holdout")
        return DEFAULTS.holdout if known is None else float(known)

    @contextmanager
    def task(self, session: Session) -> Iterator["LabelTask"]:
        """One run that asks; its teacher is closed at the end."""
        from vdistill.cli.label_batches import Batching
        from vdistill.cli.label_jury import JuryTask, refuse_in_jury
        from vdistill.cli.label_task import LabelTask, WorkspaceMemory
        from vdistill.label.prompts import Wording, read_wording
        from vdistill.label.purse import Purse
        from vdistill.label.teachers.options import TeacherOptions, price_table, read_thinking

        if self.batched and len(self.endpoints) > 1:
            raise typer.BadParameter("goes with one --endpoint, which has the batch API", param_hint="--batch")
        names, settings, file = self.teachers, self.settings(session), config.find(Path.cwd())
        options = TeacherOptions(
            endpoint=next(iter(self.endpoints), None),
            endpoints=self.endpoints if len(self.endpoints) > 1 else (),
            concurrency=self.concurrency,
            calls_per_minute=self.calls_per_minute,
            wording=read_wording(self.prompt) if self.prompt else Wording(),
            max_pixels=self.max_pixels,
            prices=price_table(config.prices(file), str(file)) if file else {},
            plan=self.dry_run,
            key_name=self.api_key_env,
            thinking=read_thinking(self.think),
            memory=WorkspaceMemory(session),
            batch=self.batched,
            offline=self.batch_file is not None,
        )
        purse = Purse(self.budget, self.max_cost)
        name, server = and_server(names[0])
        shared, options = options, options if server is None else replace(options, endpoint=server, endpoints=())
        task: LabelTask = LabelTask(
            session, name, settings, options, purse, self.generate_queries, ask_given=self.ask is not None,
            engine=self.engine, none=self.none, batch=Batching(self._name(), self.batch_file) if self.batched else None,
        )  # fmt: skip
        if len(names) > 1:
            refuse_in_jury(names, batch=self.batched)
            task = JuryTask(
                session, "", settings, shared, purse, self.generate_queries, ask_given=self.ask is not None,
                engine=self.engine, none=self.none, specs=tuple(names),
            )  # fmt: skip
        try:
            yield task
        finally:
            task.close()

"""`vdistill bench`."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console, parts
from vdistill.cli.config import Meaning
from vdistill.cli.session import BackboneOption, JsonOption, Session, pick_backbone
from vdistill.cli.teacher_names import one_of
from vdistill.errors import GateError, VdistillError
from vdistill.records import Per

if TYPE_CHECKING:
    from vdistill.bench.gates import Gate
    from vdistill.bench.graded import Embedded, Ranker
    from vdistill.bench.results import BenchReport
    from vdistill.bench.speed.measure import Speed
    from vdistill.cli.bench_rows import Rows
    from vdistill.query.search import Searcher
    from vdistill.workspace import Workspace

_gate = partial(typer.Option, rich_help_panel="Gate")
_public = partial(typer.Option, rich_help_panel="A public set")
_beside = partial(typer.Option, rich_help_panel="The teacher beside it")
_output = partial(typer.Option, rich_help_panel="Output")
OF_RERANK = ("teacher", "endpoint", "budget", "max_cost")


@dataclass(frozen=True, kw_only=True)
class BenchCommand:
    """Measure backbone, student and teacher on held-out queries and images."""

    qrels: Annotated[Path | None, typer.Option(help="Judge by this TREC qrels file instead of the teacher.")] = None
    only_judged: Annotated[
        bool, typer.Option("--only-judged", help="With --qrels: rank only what has a grade, as trec_eval -J does.")
    ] = False
    set_: Annotated[
        str | None,
        _public(
            "--set",
            help="Measure on a public set instead: inquire-rerank, inquire-rerank/validation or sqid. "
            "Fetched once into FOLDER.",
            metavar="NAME[:FOLDER]",
        ),
    ] = None
    set_queries: Annotated[
        int | None, _public(min=1, help="So many of its queries, chosen by hash.", show_default="all")
    ] = None
    judge: Annotated[
        str | None,
        typer.Option(
            help="The teacher to judge by, of several that judged held-out queries.",
            show_default="the one with most judgments",
        ),
    ] = None
    per: Annotated[
        Per, typer.Option(help="Rank products (group, item_id or sku in the metadata) by their best images, or images.")
    ] = "product"
    against: Annotated[
        list[str] | None,
        Meaning.PATH_OR_NAME,
        typer.Option(
            help="Another dual or text encoder, hub id or folder, in the same table. Repeatable.", show_default=False
        ),
    ] = None
    run: Annotated[
        list[Path] | None,
        typer.Option(help="A TREC run file of any search engine, in the same table. Repeatable.", show_default=False),
    ] = None
    rerank: Annotated[
        int | None, _beside(min=2, help="Let a teacher re-order the first N images of each query, as one more row.")
    ] = None
    teacher: Annotated[
        list[str] | None, Meaning.TEACHER, _beside(help="The teacher that re-orders.", show_default="as for label")
    ] = None
    endpoint: Annotated[
        list[str] | None, _beside(help="Endpoint of that teacher.", metavar="URL", show_default="as for label")
    ] = None
    budget: Annotated[int | None, _beside(min=1, help="Maximum calls to re-order.", show_default="none")] = None
    max_cost: Annotated[float | None, _beside(min=0, help="Maximum US dollars to re-order.", show_default="none")] = (
        None
    )
    min_fit: Annotated[float, typer.Option(min=0, max=1, help="Count false hits and lost queries at this fit.")] = 0.5
    unanswered: Annotated[
        Path | None, typer.Option(help="File of queries that nothing in the catalog answers: how often is a hit shown?")
    ] = None
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Metadata column to group the queries by. Repeatable.", show_default=False),
    ] = None
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Measure again with reworded queries and corrupted images.")
    ] = False
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure embedding, indexing, search, memory and disk on this machine too.")
    ] = False
    backbone: BackboneOption = None
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0
    fail_under: Annotated[
        list[str] | None,
        _gate(
            help="METRIC=VALUE, or gain:METRIC=VALUE, that the student must reach, else exit 3. Repeatable.",
            show_default=False,
        ),
    ] = None
    no_worse_than: Annotated[
        str | None,
        Meaning.PATH_OR_NAME,
        _gate(
            help="An earlier run (last, best, an id, a file) that the student must not fall behind, else exit 3. "
            "last and best: of those that met their gates."
        ),
    ] = None
    report: Annotated[Path | None, _output(help="Write a self-contained HTML page.")] = None
    junit: Annotated[Path | None, _output(help="Write the gates as JUnit XML.")] = None
    summary: Annotated[
        Path | None, _output(help="Add the outcome to this Markdown file, e.g. $GITHUB_STEP_SUMMARY.")
    ] = None
    write_run: Annotated[
        Path | None, _output(help="Write each model's rankings to a TREC run file in this folder.")
    ] = None
    write_qrels: Annotated[Path | None, _output(help="Write the judgments as TREC qrels, with grades.")] = None
    history: Annotated[bool, _output("--history", help="Show the runs so far, and measure nothing.")] = False
    as_json: JsonOption = False

    def execute(self, session: Session) -> None:
        """Measure, keep the run, and check the gates."""
        from vdistill.cli.bench_outputs import Outputs, show, show_history

        gates = self._checked(session)
        workspace = session.create() if self.set_ else session.require()
        session.cache_images()
        if self.history:
            show_history(workspace, as_json=self.as_json)
            return
        parts.require_all(["scipy", *(["matplotlib"] if self.report else [])])
        from vdistill.bench import runs
        from vdistill.bench.gates import no_worse
        from vdistill.cli.bench_fit import fit_report
        from vdistill.encoders.student import open_item_head, read_info, require_same_holdout

        if self.no_worse_than is not None:
            runs.pick(workspace, self.no_worse_than)  # that there is one at all, before any work is done
        if info := read_info(workspace):
            require_same_holdout(workspace, info)
        backbone = pick_backbone(workspace, self.backbone)
        found, searchers = self._measured(session, workspace, backbone, gates)
        found = replace(found, fit=fit_report(session, workspace, searchers, self))
        if self.robustness and searchers:
            from vdistill.bench.robustness import robustness

            changed = robustness(found.held_out, searchers, found.values, found.seed, open_item_head(workspace))
            found = replace(found, robustness=tuple(changed))
        if self.no_worse_than is not None:  # by the same judge, who is known now
            earlier = runs.pick(workspace, self.no_worse_than, found.held_out)
            found = replace(found, gates=(*found.gates, *no_worse(found, earlier)))
        made_from = (info.sha256, int(info.facts.get("judgments", 0))) if info else ("", 0)
        kept = runs.keep(workspace, found, *made_from, passed=not found.failed)
        speed = _speed(list(searchers.values())[-1], workspace, backbone, found) if self.speed and searchers else None
        made = {"backbone": backbone} | (info.facts if info else {})
        wanted = Outputs(self.report, self.junit, self.summary, self.write_run, self.write_qrels)
        wanted.write(session, workspace, found, made, speed)
        agreement = [] if self.set_ is not None else _agreement(workspace)
        if self.as_json:
            more = {"run": kept.id, "speed": speed.to_json() if speed else None, "agreement": agreement}
            console.document(found.to_json() | {name: value for name, value in more.items() if value})
        else:
            show(found, speed, agreement)
            session.say(f"run {kept.id}")
        if found.failed:
            raise GateError("; ".join(map(str, found.failed)), hint="a gate was not met")

    def _checked(self, session: Session) -> "tuple[Gate, ...]":
        """The gates. Raises BadParameter for options that go with others, before any work is done."""
        if self.rerank is None and session.typed(*OF_RERANK):  # from elsewhere they are meant for label
            raise typer.BadParameter("goes with --rerank N", param_hint="--teacher, --endpoint, --budget, --max-cost")
        if self.set_ is not None:
            from vdistill.bench.public_sets.named import parse

            parse(self.set_)
            if session.typed("qrels", "robustness", "speed"):  # from elsewhere they are meant for the catalog
                raise typer.BadParameter("has qrels of its own, and no index to measure", param_hint="--set")
            if session.typed("per", "judge", "only_judged"):
                raise typer.BadParameter(
                    "ranks the images that its own qrels grade; drop --per, --judge and --only-judged",
                    param_hint="--set",
                )
        elif session.typed("set_queries"):
            raise typer.BadParameter("goes with --set NAME", param_hint="--set-queries")
        elif self.only_judged and self.qrels is None:
            raise typer.BadParameter("goes with --qrels FILE", param_hint="--only-judged")
        return _gates(self.fail_under or [])

    def _measured(
        self, session: Session, workspace: "Workspace", backbone: str, gates: "tuple[Gate, ...]"
    ) -> "tuple[BenchReport, dict[str, Searcher]]":
        """The report, and the searchers of the backbone and, where there is one, the student."""
        from vdistill.cli.bench_rows import Rows

        rows = Rows.read(self.against or [], self.run or [])  # files with mistakes, before a catalog is embedded
        wanted = {"gates": gates, "seed": self.seed, "columns": self.slice_ or []}
        searchers: dict[str, Searcher] = {}
        if self.set_ is not None:
            found = self._on_public_set(session, workspace, backbone, rows, wanted)
        else:
            found, searchers = self._on_catalog(session, workspace, backbone, rows, wanted)
        for note in found.notes:
            session.say(note)
        return found, searchers

    def _on_catalog(
        self, session: Session, workspace: "Workspace", backbone: str, rows: "Rows", wanted: dict[str, Any]
    ) -> "tuple[BenchReport, dict[str, Searcher]]":
        """Measured on the held-out side of the workspace's catalog, with its indexes."""
        from vdistill.bench.evaluate import bench
        from vdistill.bench.parts import parts
        from vdistill.cli.fresh import open_searchers
        from vdistill.database import Database
        from vdistill.encoders.student import open_item_head

        names = ["backbone", "student"] if workspace.student.is_dir() else ["backbone"]
        with Database.open(workspace.database, write=False) as database:
            if self.qrels is None and not database.judgments("heldout"):  # before a catalog is embedded in vain
                raise VdistillError(
                    "no held-out judgments to measure by",
                    hint="`vdistill label` judges held-out queries too; or judge by a TREC file: --qrels FILE",
                )
            searchers = open_searchers(session, workspace, names, backbone, many=True)
            models, rankers = rows.opened(searchers["backbone"], workspace)
            if "student" in searchers and (head := open_item_head(workspace)):
                models |= parts(searchers["student"], head, workspace.cache)
            with self._reranked(session, workspace, searchers) as reranked:
                found = bench(
                    {**searchers, **models}, database, self.qrels, judge=self.judge, per=self.per,
                    only_judged=self.only_judged, rankers={**rankers, **reranked}, **wanted,
                )  # fmt: skip
        return found, searchers

    def _on_public_set(
        self, session: Session, workspace: "Workspace", backbone: str, rows: "Rows", wanted: dict[str, Any]
    ) -> "BenchReport":
        """Measured on a public set, whose images are embedded for it."""
        from vdistill.bench.evaluate import bench_public
        from vdistill.cli.bench_set import PublicSet

        public = PublicSet.opened(session, workspace, str(self.set_), self.set_queries)
        own = public.models(workspace, backbone)
        models, rankers = rows.opened(public.files, workspace)
        with self._reranked(session, workspace, own) as reranked:
            found = bench_public(
                {**own, **models}, public.about["name"], public.qrels, public.queries, public.known,
                rankers={**rankers, **reranked}, **wanted,
            )  # fmt: skip
        return replace(found, public_set=public.about)

    def _reranked(
        self, session: Session, workspace: "Workspace", models: "Mapping[str, Embedded]"
    ) -> "AbstractContextManager[dict[str, Ranker]]":
        """The row of `--rerank`; none without it."""
        if self.rerank is None:
            return nullcontext({})
        from vdistill.cli.bench_rows import Reranking

        teacher = one_of(self.teacher, "--rerank")
        asked = Reranking(self.rerank, teacher, self.endpoint, self.budget, self.max_cost)
        return asked.row(session, workspace, models)


def _gates(texts: list[str]) -> "tuple[Gate, ...]":
    """The gates, before any work is done; a mistake in one is wrong usage."""
    from vdistill.bench.gates import parse_gates

    try:
        return parse_gates(texts)
    except VdistillError as error:
        raise typer.BadParameter(f"{error.message} ({error.hint})") from error


def _agreement(workspace: "Workspace") -> list[dict[str, Any]]:
    """How far people agree with teachers and with themselves; empty where no person has judged."""
    from vdistill.database import Database
    from vdistill.evaluation.agreement import of_people

    with Database.existing(workspace) as database:
        return of_people(database) if database else []


def _speed(searcher: "Searcher", workspace: "Workspace", backbone: str, found: "BenchReport") -> "Speed":
    from vdistill.bench.speed.measure import measure
    from vdistill.encoders.student import open_model

    encoder = open_model(workspace, searcher.model, backbone)
    return measure(searcher, encoder, workspace.root, found.held_out.queries)

"""`vdistill query`: nothing here may import torch."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from vdistill.cli import console
from vdistill.cli.config import Meaning
from vdistill.cli.second_stage_options import StageCallsOption, StageEndpointOption, StageTeacherOption, second
from vdistill.cli.session import DATABASES, JsonOption, ModelOption, Session, pick_model
from vdistill.errors import VdistillError
from vdistill.records import Hit, Per

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    import numpy as np

    from vdistill.cli.query_results import Found
    from vdistill.cli.second_stage import AskedBeside
    from vdistill.cli.why import Explain
    from vdistill.databases.search import DatabaseSearcher
    from vdistill.query.search import Searcher
    from vdistill.query.terms import Term
    from vdistill.workspace import Workspace

    AnySearcher: TypeAlias = Searcher | DatabaseSearcher

OF_RERANK = ("teacher", "endpoint", "within", "rerank_calls", "max_cost")
_ranking = partial(typer.Option, rich_help_panel="Ranking")
_output = partial(typer.Option, rich_help_panel="Output")


class _Open(NamedTuple):
    """What a search goes through: the searcher, the teacher behind it, and what names the judgments behind hits."""

    searcher: "AnySearcher"
    second: "AskedBeside | None"
    explain: "Explain"


@dataclass(frozen=True, kw_only=True)
class QueryCommand:
    """Search the catalog."""

    text: Annotated[
        list[str] | None,
        typer.Argument(
            help="What you are looking for: words and images, as in  '2:cosy' + photo.jpg - plastic",
            show_default=False,
        ),
    ] = None
    image: Annotated[Path | None, typer.Option(help="Find what looks like this image.")] = None
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many results.")] = 10
    per: Annotated[
        Per, typer.Option(help="One result a product (group, item_id or sku in the metadata), or every image.")
    ] = "product"
    where: Annotated[str | None, _ranking(help="SQL expression over the metadata, e.g. 'price < 20'.")] = None
    hybrid: Annotated[bool, _ranking("--hybrid", help="Rank by the words in the items' texts too.")] = False
    diverse: Annotated[float, _ranking(min=0, max=1, help="How much results should differ from one another.")] = 0.0
    min_score: Annotated[float | None, _ranking(help="Minimum similarity, from -1 to 1.")] = None
    min_fit: Annotated[
        float | None, _ranking(min=0, max=1, help="Minimum probability that the teacher would accept a result.")
    ] = None
    exact: Annotated[bool, _ranking("--exact", help="Compare with every image, however many.")] = False
    batch: Annotated[
        str | None, Meaning.PATH, typer.Option(help="File of queries, one per line, or - for stdin; prints JSON Lines.")
    ] = None
    source: Annotated[
        str | None,
        Meaning.DATABASE,
        typer.Option("--from", help=f"Search a database: {DATABASES}.", show_default=False),
    ] = None
    index: Annotated[
        Path | None,
        typer.Option(help="Search a pack (`vdistill index --pack`), or the folder of an index.", show_default=False),
    ] = None
    model: ModelOption = None
    rerank: Annotated[
        int | None, second(min=2, max=200, help="Let a teacher order the first N results.", metavar="N")
    ] = None
    teacher: StageTeacherOption = None
    endpoint: StageEndpointOption = None
    within: Annotated[
        str | None, second(help="Wait for it so long, e.g. 800ms; then the student's order counts.", metavar="TIME")
    ] = None
    rerank_calls: StageCallsOption = None
    max_cost: Annotated[float | None, second(min=0, help="Maximum US dollars for one search.")] = None
    show: Annotated[bool, _output("--show", help="Show the images in the terminal.")] = False
    gallery: Annotated[Path | None, _output(help="Write the results as a page of images.")] = None
    compare: Annotated[bool, _output("--compare", help="Show the backbone's results beside them.")] = False
    why: Annotated[bool, _output("--why", help="Name the judgments that taught the student about each result.")] = False
    paths0: Annotated[bool, _output("--paths0", help="Only the paths, each ended by NUL: for xargs -0.")] = False
    as_json: JsonOption = False

    def execute(self, session: Session) -> None:
        """Answer the query, or a batch of them."""
        self._check_usage(session)
        from vdistill.query.terms import Term, parse

        terms = (Term(self.image),) if self.image is not None else parse(self.text) if self.text else ()
        with ExitStack() as stack:
            second = stack.enter_context(self._second(session, terms))
            model, searchers = self._packed(self.index) if self.index else self._searchers(session, session.require())
            for searcher in searchers.values():
                stack.callback(searcher.close)
            opened = _Open(searchers[model], second, stack.enter_context(self._explained(session, searchers[model])))
            if self.batch is not None:
                self._answer_batch(session, opened, self.batch)
            else:
                self._answer(session, opened, searchers.get("backbone"), terms)

    def _second(
        self, session: Session, terms: "Sequence[Term]"
    ) -> "AbstractContextManager[AskedBeside | None]":  # fmt: skip
        """What orders the first results, where something does."""
        if self.rerank is None or self.index is not None:
            return nullcontext()
        from vdistill.cli.second_stage import Asked, beside
        from vdistill.cli.teacher_names import one_of

        caps = self.rerank_calls, self.max_cost
        asked = Asked(self.rerank, one_of(self.teacher, "--rerank"), self.endpoint or (), self.within, *caps)
        return beside(session, asked, None if self.batch else terms, self.model)

    def _explained(self, session: Session, searcher: "AnySearcher") -> "AbstractContextManager[Explain]":
        """What names the judgments behind hits; without --why nothing is opened, and none are named."""
        if not self.why:
            return nullcontext(lambda vector, hits: None)
        from vdistill.cli.why import explained

        return explained(session, searcher)

    def _answer(
        self, session: Session, opened: _Open, backbone: "AnySearcher | None", terms: "Sequence[Term]"
    ) -> None:  # fmt: skip
        found = self._found(session, opened, terms)
        self._warn(session, opened.searcher, terms, found.hits)
        if self.gallery or self.show:
            session.cache_images()
        if self.gallery is not None:
            from vdistill.workspace import write_file

            compare = None
            if self.compare and backbone is not None:
                compare = self._hits(backbone, backbone.vector(terms), terms, self.k)
            write_file(self.gallery, found.page(compare))
            session.say(f"gallery: {self.gallery.resolve()}")
        self._print(found)

    def _answer_batch(self, session: Session, opened: _Open, source: str) -> None:
        """Print one document per query of `source` as it comes, the same as the query alone would get."""
        from vdistill.inputs.queries import texts
        from vdistill.query.terms import Term

        long, searcher = 0, opened.searcher
        for text in texts(source):
            found = self._found(session, opened, (Term(text),))
            console.document(found.document(), line=True)
            long += bool(searcher.truncated([text]))
        if long:
            session.say(f"{long} queries are longer than the model reads; their ends were left out")

    def _found(self, session: Session, opened: _Open, terms: "Sequence[Term]") -> "Found":
        """The hits, as the second stage has them; whoever searches is told where it was not asked to the end."""
        from vdistill.cli.query_results import Found
        from vdistill.query.terms import spoken

        searcher, second, moved = opened.searcher, opened.second, None
        started = time.perf_counter()
        vector = searcher.vector(terms)
        hits = self._hits(searcher, vector, terms, self.k if second is None else max(self.k, second.depth))
        if second is not None:
            moved = second.rerank(spoken(terms), hits, self.k)
            hits = [*moved.hits]
        took = round((time.perf_counter() - started) * 1000, 2)
        if moved is not None and moved.notice:
            session.say(moved.notice)
        why = opened.explain(vector, hits)
        return Found(searcher.model, spoken(terms), hits, took, moved, why, self.min_fit)

    def _hits(self, searcher: "AnySearcher", vector: "np.ndarray", terms: "Sequence[Term]", k: int) -> list[Hit]:
        from vdistill.query.search import SearchOptions
        from vdistill.query.terms import is_text, wanted_text

        options = SearchOptions(self.where, self.exact, self.hybrid, self.min_score, self.diverse, self.per,
                                self.min_fit)  # fmt: skip
        return searcher.hits(vector, k, options, wanted_text(terms), text=is_text(terms))

    def _searchers(self, session: Session, workspace: "Workspace") -> "tuple[str, Mapping[str, AnySearcher]]":
        """The model to search with, and the open searchers by model."""
        if self.source is not None:
            from vdistill.cli.database_search import open_database_searcher

            found = open_database_searcher(session, workspace, self.source, self.model)
            return found.model, {found.model: found}
        from vdistill.cli.fresh import open_searchers

        model = pick_model(workspace, self.model)
        if self.why:
            from vdistill.cli.why import require_student

            require_student(workspace, self.model)
        models = [model, "backbone"] if self.compare else [model]
        return model, open_searchers(session, workspace, models, by_text=self.image is None)

    def _packed(self, pack: Path) -> "tuple[str, Mapping[str, AnySearcher]]":
        from vdistill.query.search import Searcher

        found = Searcher.packed(pack, self.model, by_text=self.image is None)
        return found.model, {found.model: found}

    def _check_usage(self, session: Session) -> None:
        self._check_rerank(session)
        if sum(value not in (None, []) for value in (self.text, self.image, self.batch)) != 1:
            raise typer.BadParameter("give one of TEXT, --image FILE and --batch FILE", param_hint="TEXT")
        if self.batch is not None and (self.show or self.gallery or self.compare or self.paths0):
            raise typer.BadParameter("prints JSON Lines and nothing else", param_hint="--batch")
        if self.compare and not self.gallery:
            raise typer.BadParameter("goes with --gallery FILE.html", param_hint="--compare")
        if self.compare and (self.source or self.index):
            raise typer.BadParameter("goes with an index of both models", param_hint="--compare")
        if self.index is not None and self.source is not None:
            raise typer.BadParameter("cannot be given together", param_hint="--index, --from")
        if self.paths0 and (self.as_json or self.why):
            other = "--json" if self.as_json else "--why"
            raise typer.BadParameter("cannot be given together", param_hint=f"--paths0, {other}")
        if self.show and not (sys.stdin.isatty() and sys.stdout.isatty() and all(os.get_terminal_size())):
            raise VdistillError("--show needs a terminal", hint="write a page instead: --gallery results.html")

    def _check_rerank(self, session: Session) -> None:
        if self.rerank is None and session.typed(*OF_RERANK):  # from elsewhere they are meant for label
            raise typer.BadParameter("goes with --rerank N", param_hint="--teacher, --endpoint, --within, …")
        if session.typed("rerank") and self.index is not None:
            raise typer.BadParameter("a pack has no workspace that keeps a teacher's answers", param_hint="--rerank")

    def _warn(self, session: Session, searcher: "AnySearcher", terms: Sequence["Term"], hits: Sequence[Hit]) -> None:
        from vdistill.query.documents import nothing_fits_well

        if nothing_fits_well(hits, self.min_fit):
            best = max((hit.fit or 0.0 for hit in hits), default=None)
            session.say("nothing fits well" + (f": the best fit is {best:.2f}" if best is not None else ""))
        elif len(hits) < self.k:
            limited = self.where or self.min_score is not None or self.min_fit is not None
            why = "match" if limited else "are indexed"
            what = "products" if any(hit.images > 1 for hit in hits) and self.per == "product" else "items"
            session.say(f"only {len(hits)} {what} {why}, {self.k} were asked for")
        texts = [term.what for term in terms if isinstance(term.what, str)]
        if texts and searcher.truncated(texts):
            session.say("the query is longer than the model reads; its end was left out")

    def _print(self, found: "Found") -> None:
        if self.paths0:
            console.raw(b"".join(os.fsencode(hit.file) + b"\0" for hit in found.hits))
        elif self.as_json:
            console.document(found.document())
        else:
            for table in found.tables():
                console.result(table)
            if self.show:
                from vdistill.cli.query_images import show_images

                show_images(found.hits)

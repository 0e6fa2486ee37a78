"""Other wordings of the training queries: the user's own, and those that the teacher writes; each is paid for once.

They share the judgments of their queries, so a query in five wordings takes no more calls that show images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.inputs.sides import plain
from vdistill.label.in_threads import InThreads
from vdistill.label.layout import in_order
from vdistill.label.purse import Purse
from vdistill.label.rephrased import Rephrased, stems
from vdistill.label.stage import Stage
from vdistill.label.teacher import Rewriter, Teacher, Written
from vdistill.records import Failure, Query, Rewording

USUAL = 4  # paraphrases of a query
SHARE = 0.2  # of the caps, which they may take: the rest is for judgments
FRUITLESS = 10  # calls in a row without a usable wording, after which no more are made


@dataclass(slots=True)
class Tally:
    """What asking for paraphrases brought and cost."""

    paraphrases: int = 0
    calls: int = 0
    failed: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Under the names of the report on the whole run."""
        return {
            "paraphrases": self.paraphrases,
            "paraphrase_calls": self.calls,
            "paraphrase_failed": self.failed,
            "paraphrase_tokens": self.tokens,
            "paraphrase_cost_usd": self.cost_usd,
        }


def count_for(teacher: Teacher, given: int | None) -> int:
    """How many paraphrases of a query this teacher is asked for.

    Raises VdistillError where some were asked for in so many words and the teacher cannot write.
    """
    if isinstance(teacher, Rewriter):
        return USUAL if given is None else given
    if given:
        raise VdistillError(
            f"{teacher.name} cannot put queries in other words",
            hint="use a vision-language model, give your own in a column `paraphrases` of --queries, "
            "or leave --paraphrases out",
        )
    return 0


def wanted(database: Database | None, stage: Stage, count: int) -> dict[str, int]:
    """How many paraphrases of which training queries are to be asked for, in a random order of queries.

    What was asked for before counts, whoever was asked and however little it brought, and so does what the user gave.
    """
    known = database.paraphrases.asked_for() if database else {}
    given, _ = _given(database, stage.queries)
    order = in_order(stage.queries_of("train"), stage.plan.seed)
    missing = {text: count - max(known.get(text, 0), len(given.get(text, ()))) for text in order}
    return {text: number for text, number in missing.items() if number > 0}


def keep_given(database: Database, queries: Sequence[Query], say: Callable[[str], None]) -> None:
    """Store the paraphrases that the file of queries has; those of held-out queries are left out.

    They replace those that an earlier version of the file had.
    """
    given, left_out = _given(database, queries)
    before = database.paraphrases.given()
    now = {query.text: given.get(query.text, []) for query in queries if query.text in before or query.text in given}
    if changed := {query: texts for query, texts in now.items() if texts != before.get(query, [])}:
        database.paraphrases.give(changed)
    if held_out := sum(len(query.paraphrases) for query in queries if query.split == "heldout"):
        say(f"{held_out:,} paraphrases of held-out queries are left out: held-out queries are asked as they are")
    if left_out:
        say(f"paraphrases left out: {left_out}")


def _given(database: Database | None, queries: Sequence[Query]) -> tuple[dict[str, list[str]], str]:
    """The user's usable paraphrases by training query, and what else there was, in words."""
    some = {query.text: query.paraphrases for query in queries if query.paraphrases and query.split == "train"}
    if not some:
        return {}, ""
    stored = database.paraphrases.by_query() if database else {}
    others = {query: texts for query, texts in stored.items() if query not in some}
    sorting = Rephrased(_known(database, queries, others), frozenset())
    usable = {}
    for query, texts in some.items():
        usable[query] = sorting.new(texts)
        sorting.learn(usable[query])
    return usable, sorting.told


def _known(
    database: Database | None, queries: Collection[Query], paraphrases: Mapping[str, Collection[str]]
) -> set[str]:
    """The `plain` texts of all queries and paraphrases."""
    asked = {plain(query.text) for query in (*queries, *(database.queries() if database else ()))}
    return asked | {plain(text) for texts in paraphrases.values() for text in texts}


@dataclass
class Paraphraser:
    """Asks a teacher for paraphrases; what a call brings is committed before the next ones are planned on it.

    advance: gets the number of calls so far, of how many, and how many failed.
    """

    teacher: Teacher
    database: Database
    purse: Purse
    concurrency: int
    say: Callable[[str], None]
    advance: Callable[[int, int, int], None]
    tally: Tally = field(default_factory=Tally)
    _fruitless: int = 0
    _reason: str = ""

    def write(self, stage: Stage, count: int) -> None:
        """Up to `count` paraphrases of each training query, as far as `SHARE` of the caps allows."""
        teacher = self.teacher
        asked = wanted(self.database, stage, count)
        if not asked or not isinstance(teacher, Rewriter):
            return
        titles = frozenset(stem for item in stage.items.values() for stem in stems(item.title or ""))
        known = _known(self.database, stage.queries, self.database.paraphrases.by_query())
        self._sorting, self._prompt = Rephrased(known, titles), teacher.rewording
        affordable = self.purse.part(SHARE)
        fresh = deque(asked.items())

        def take(running: Collection[tuple[str, int]]) -> tuple[str, int] | None:
            if not fresh or self._fruitless >= FRUITLESS:
                return None
            expected = sum(self._estimate(teacher, *job) for job in (*running, fresh[0]))
            return fresh.popleft() if affordable(len(running) + 1, expected) else None

        InThreads(
            max(1, min(self.concurrency, self.teacher.concurrency, len(fresh))),
            take=take,
            ask=lambda job: _said(teacher, *job),
            keep=lambda found: self._keep(teacher, *found[0], len(asked)),
            check=lambda: None,
            most=1,  # what one call brought tells which wordings of the next are new
        ).run()
        self._tell(len(fresh), len(asked))

    def _keep(self, teacher: Rewriter, job: tuple[str, int], said: Written | Failure, planned: int) -> None:
        (query, count), tally = job, self.tally
        failed, before = isinstance(said, Failure), self.purse.usd
        self.purse.pay(said.tokens, said.cost_usd, None if failed else self._estimate(teacher, query, count))
        texts: list[str] = []
        if isinstance(said, Failure):
            tally.failed += 1
            self._reason = said.reason
        else:
            texts = self._sorting.written(query, said.lines)[:count]
            call = Rewording(self.teacher.name, self._prompt, count, said.tokens, said.cost_usd)
            self.database.paraphrases.add(query, texts, call)
            self._sorting.learn(texts)  # now that they are stored: after an interrupt the answer is kept again
        self._fruitless = 0 if texts else self._fruitless + 1
        tally.calls += 1
        tally.paraphrases += len(texts)
        tally.tokens += said.tokens
        tally.cost_usd += self.purse.usd - before
        self.advance(tally.calls, planned, tally.failed)

    def _estimate(self, teacher: Rewriter, query: str, count: int) -> float:
        return (teacher.price_of_rewording(query, count).usd or 0.0) if self.purse.max_cost is not None else 0.0

    def _tell(self, left: int, planned: int) -> None:
        tally, sorting, name = self.tally, self._sorting, self.teacher.name
        dropped = f"; left out: {sorting.told}" if sorting.told else ""
        self.say(f"{tally.paraphrases:,} other wordings of training queries in {tally.calls:,} calls{dropped}")
        if tally.failed:
            self.say(f"{tally.failed:,} calls for other wordings failed, the last one: {self._reason}")
        if self._fruitless >= FRUITLESS:
            self.say(f"{name} wrote nothing that can be used in {self._fruitless} calls, and is not asked any more")
        elif left and not tally.calls:
            self.say("a fifth of the caps is too little for a call that asks for other wordings: none were asked for")
        elif left:
            self.say(f"a fifth of the caps is spent on other wordings: none yet for {left:,} of {planned:,} queries")


def foreseen(teacher: Teacher, asked: Mapping[str, int], purse: Purse, threads: int) -> tuple[Tally, float]:
    """What asking for these paraphrases would bring at most and cost, within `SHARE` of the caps; and its seconds.

    It is paid from the purse, which should be a copy.
    """
    tally, seconds, before = Tally(), 0.0, purse.usd
    affordable = purse.part(SHARE)
    if not isinstance(teacher, Rewriter):
        return tally, seconds
    for query, count in asked.items():
        price = teacher.price_of_rewording(query, count)
        if not affordable(1, price.usd or 0.0):
            break
        purse.pay(price.tokens, price.usd or 0.0, price.usd)
        tally.calls += 1
        tally.paraphrases += count
        tally.tokens += price.tokens
        seconds += price.seconds / threads
    tally.cost_usd = purse.usd - before
    return tally, seconds


def _said(teacher: Rewriter, query: str, count: int) -> Written | Failure:
    """What the teacher writes. Raises TeacherError for whatever goes wrong in its code."""
    try:
        return teacher.reword(query, count)
    except VdistillError:
        raise
    except Exception as error:
        raise TeacherError(
            f"the teacher failed to put a query in other words: {type(error).__name__}: {error}",
            hint="what it wrote so far is kept; --paraphrases 0 goes on without, --debug shows where it failed",
        ) from error

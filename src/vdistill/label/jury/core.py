"""The common core of a jury: a few questions, on both sides of the split, that every teacher is asked.

Only answers about the same images tell who agrees with whom. Each image of a core query is shown twice, beside others,
since what a teacher says of it again, unlike the others, is its taste and not noise. Where teachers score each image
by itself, which they would do alike again, the core is the beginning of the plan. Where only some of them do so, they
score the images that the others compare.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import ceil

from vdistill.label.questions import Asked
from vdistill.label.schedules.plan import Group, Plan, generator
from vdistill.label.stage import SIDES, Stage
from vdistill.records import Split

SHARE = 0.2  # of the calls, that the core may take
LEAST, MOST = 4, 60  # questions
SCORED_SHARE = 0.1  # of the calls, where images are scored, so that most of the core would be asked anyway
DEALS = 2  # how often each image of a core query is shown
CALLS = 2  # of a deal


def core_size(questions: int, members: float, *, pointwise: bool = False) -> int:
    """How many questions every one of so many teachers is asked, of so many in all; 0 where those are too few.

    members: a teacher for which a question is several calls counts as several.

    A noise is known to some 10 % after 60 questions, so more calls do not make it larger. A taste, which is all that
    scores show, takes many more.
    """
    size = min(MOST, int(int(SHARE * questions) // members))
    size = max(size, int(int(SCORED_SHARE * questions) // members)) if pointwise else size
    return size if size >= LEAST else 0


def shown_once(core: Sequence[Asked]) -> list[Asked]:
    """The common questions without those that show an image again for the same query."""
    shown: dict[str, set[str]] = defaultdict(set)
    found = []
    for one in core:
        items = {image.item_id for image in one.question.images}
        if not items & shown[one.question.query]:
            shown[one.question.query] |= items
            found.append(one)
    return found


def core_groups(stage: Stage, count: int) -> list[tuple[Split, Group]]:
    """Up to `count` questions, shared between the sides in proportion to their queries."""
    queries = {split: stage.queries_of(split) for split in SIDES}
    able = [split for split in SIDES if queries[split] and len(stage.items_of(split)) > 1]
    total = sum(len(queries[split]) for split in able)
    found: list[tuple[Split, Group]] = []
    for split in able:
        plan = stage.plan if split == "train" else stage.held_out_plan
        share = max(1, round(count * len(queries[split]) / total))
        groups = core_of(queries[split], stage.items_of(split), plan, min(share, count - len(found)))
        found += [(split, group) for group in groups]
    return found


def core_of(queries: Sequence[str], items: Sequence[str], plan: Plan, count: int) -> list[Group]:
    """Up to `count` questions: `DEALS` × `CALLS` of one query, then of the next."""
    groups: list[Group] = []
    for query in queries[: ceil(count / (DEALS * CALLS))]:
        rng = generator(plan.seed, "core", query)
        drawn = plan.distinct([items[row] for row in rng.permutation(len(items))])[: CALLS * plan.images_per_call]
        for _ in range(DEALS):
            dealt = plan.deal([drawn[place] for place in rng.permutation(len(drawn))], plan.images_per_call)
            groups += [Group(query, tuple(some)) for some in dealt if len(some) > 1]
    return list(dict.fromkeys(groups))[:count]

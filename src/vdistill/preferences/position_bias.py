"""The position biases alone, for any number of judgments: a bounded sample determines a handful of numbers well."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import sha256

from vdistill.arrays import Floats
from vdistill.preferences.choices import positions
from vdistill.preferences.fitted import fit
from vdistill.records import Judgment

ENOUGH = 10_000  # judgments of one teacher and number of images: each bias is then known to some 0.03 logits


def position_biases(judgments: Sequence[Judgment]) -> dict[tuple[str, int], Floats]:
    """What `Fitted.bias` is, from at least `ENOUGH` judgments of each teacher and number of images, or all there are.

    The sample is of whole queries, chosen by a hash of their texts, so that the order makes no difference.
    """
    of_query: dict[str, list[Judgment]] = defaultdict(list)
    for judgment in judgments:
        of_query[judgment.query].append(judgment)
    taken: Counter[tuple[str, int]] = Counter()
    sample: list[Judgment] = []
    for query in sorted(of_query, key=lambda text: sha256(text.encode()).digest()):
        wanted = [one for one in of_query[query] if taken[one.teacher, positions(one)] < ENOUGH]
        sample += wanted
        taken.update((one.teacher, positions(one)) for one in wanted)
    return fit(sample).bias

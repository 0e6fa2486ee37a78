"""Two simulated teachers to judge a schedule by: A errs anew each time, B makes the same mistakes again.

Both answer for R repetitions at once, each with its own items and tastes; repetition r is the query `str(r)`, item i
has the id `f"{i:04}"`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.label.schedules import Group
from vdistill.records import Answer, Judgment

CLIP = 4.0  # of a soft answer's logit


def item_id(number: int) -> str:
    return f"{number:04}"


def judgment(group: Group, answer: Answer, name: str = "simulated") -> Judgment:
    ask = "best" if answer.order is None else "rank"
    return Judgment(group.query, group.items, ("",) * len(group.items), ask, answer, name, "heldout")


def softmax(logits: np.ndarray) -> tuple[float, ...]:
    weights = np.exp(logits - logits.max())
    return tuple((weights / weights.sum()).tolist())


def one_hot(position: int, count: int) -> Answer:
    return Answer(tuple(float(place == position) for place in range(count)))


@dataclass
class Independent:
    """Teacher A: noise that is drawn anew for each question."""

    count: int
    repetitions: Sequence[int]
    soft: bool = True

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(20261120)
        self.utility = {str(r): np.random.default_rng([20261120, self.count, r]).normal(size=self.count)
                        for r in self.repetitions}  # fmt: skip

    def ask(self, group: Group) -> Judgment:
        z = 2 * self.utility[group.query][[int(item) for item in group.items]]
        z = z + self.rng.normal(0, np.sqrt(0.5), len(z))
        z[0] += 0.8
        chances = softmax(z)
        hard = one_hot(int(self.rng.choice(len(z), p=chances)), len(z))
        return judgment(group, Answer(chances) if self.soft else hard)

    def gains(self, query: str) -> np.ndarray:
        u = self.utility[query]
        return np.maximum(0, u - u.mean()) ** 2


@dataclass
class Persistent:
    """Teacher B: persistent noise, circular preferences and lapses.

    way: hard, soft, rank, choice (k-way soft), score.  times: the noise of pairs and scores, and what a lapse says, as
    multiples of B's.  number: of another teacher with the same tastes in items, whose errors are drawn for itself.
    """

    count: int
    repetitions: Sequence[int]
    way: str = "hard"
    gamma: float = 0.25
    slope: float = 2.5
    bias: float = 0.6
    correlation: float = 0.45
    times: float = 1.0
    number: int = 0

    def __post_init__(self) -> None:
        n = self.count
        self.name = f"noise {self.times:g}"
        self.utility, self.prior, self._logit, self._rng, self._scores = {}, {}, {}, {}, {}
        for r in self.repetitions:
            rng = np.random.default_rng([20261120, n, r])
            u, e = rng.standard_normal(n), rng.standard_normal(n)
            if self.number:
                rng = np.random.default_rng([20261120, n, r, self.number])
            triangle = np.triu(rng.normal(size=(n, n)), 1)
            circular = 1.2 * (triangle - triangle.T)
            wavering = 1.2 * rng.normal(size=(n, n))
            lapses, lapsed = rng.random((n, n)) < 0.03, 2 * self.times * rng.normal(size=(n, n))
            logit = self.slope * (u[:, None] - u[None]) + self.bias + self.times * (circular + wavering)
            self.utility[str(r)] = u
            self.prior[str(r)] = self.correlation * u + np.sqrt(1 - self.correlation**2) * e
            self._logit[str(r)] = np.where(lapses, lapsed, logit)
            self._rng[str(r)] = rng

    def ask(self, group: Group) -> Judgment:
        items = np.array([int(item) for item in group.items])
        if self.way == "score":
            return self.score(group)
        if self.way in ("hard", "soft"):
            z = float(self._logit[group.query][items[0], items[1]])
            if self.way == "hard":
                return judgment(group, one_hot(0 if z > 0 else 1, 2), self.name)
            return judgment(group, Answer(softmax(np.array([np.clip(z, -CLIP, CLIP), 0.0]))), self.name)
        return judgment(group, self._of_many(group.query, items), self.name)

    def score(self, group: Group) -> Judgment:
        """Each image by itself, with the noise of a pair: two scores differ as far from the truth as a pair's logit."""
        if group.query not in self._scores:
            seed = [20261126, self.count, int(group.query)]
            rng = np.random.default_rng([*seed, self.number] if self.number else seed)
            noise = self.times * rng.normal(size=self.count) * np.sqrt((2 * 1.2**2 + 1.2**2) / 2)
            scores = self.slope * self.utility[group.query] + noise
            lapsed = 2 * self.times * rng.normal(size=self.count)
            self._scores[group.query] = np.where(rng.random(self.count) < 0.03, lapsed, scores)
        scores = self._scores[group.query][[int(item) for item in group.items]]
        level = float(np.log(np.exp(scores).sum()))
        return judgment(group, Answer(softmax(scores), level=level), self.name)

    def _of_many(self, query: str, items: np.ndarray) -> Answer:
        rng, k = self._rng[query], len(items)
        slope = self.slope * (2 / k) ** self.gamma
        z = slope * self.utility[query][items] + np.linspace(self.bias, 0, k)
        if self.way == "choice":  # the probabilities of the first pick, as persistent as a rank's order is not
            z = z + rng.normal(0, np.pi / np.sqrt(6), k)
            return Answer(softmax(rng.normal(size=k) if rng.random() < 0.03 else np.clip(z - z.max(), -2 * CLIP, 0)))
        if rng.random() < 0.03:
            return Answer(order=tuple(rng.permutation(k).tolist()))
        return Answer(order=tuple(np.argsort(-(z + rng.gumbel(size=k))).tolist()))

    def gains(self, query: str) -> np.ndarray:
        rank = np.argsort(np.argsort(-self.utility[query]))
        return np.maximum(0, 10 - rank).astype(float)

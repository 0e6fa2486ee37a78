"""Teachers that score each image beside teachers that compare: one posterior, and noises that compare."""

from dataclasses import replace

import numpy as np
import pytest

from vdistill.preferences import fit, trust
from vdistill.preferences.scales import common_questions
from vdistill.records import Answer, Judgment

QUERIES, SHOWN, SPREAD = 12, 8, 2.5


def judged(seed, score, compare, *, taste=0.0, soft=True):
    """A core: 16 images a query, compared in two deals of two calls, and scored in the first deal.

    score: the noise of a score.  compare: of what is compared, drawn anew for each answer; taste: of what stays.
    """
    rng, found = np.random.default_rng(seed), []
    for number in range(QUERIES):
        truth = SPREAD * rng.normal(size=2 * SHOWN)
        scores, liked = truth + score * rng.normal(size=len(truth)), truth + taste * rng.normal(size=len(truth))
        for deal in range(2):
            for places in np.split(rng.permutation(len(truth)), 2):
                items = tuple(f"{place:02}" for place in places)
                logits = liked[places] + compare * rng.normal(size=SHOWN)
                chances = np.exp(logits - np.logaddexp.reduce(logits)) if soft else np.eye(SHOWN)[logits.argmax()]
                said = [("compares", Answer(tuple(chances.tolist())))]
                if not deal:
                    level = float(np.logaddexp.reduce(scores[places]))
                    said.append(("scores", Answer(tuple(np.exp(scores[places] - level).tolist()), level=level)))
                found += [Judgment(f"q {number}", items, items, "best", one, name, "train") for name, one in said]
    return found


def test_what_was_scored_and_compared_is_common_to_both():
    judgments = judged(0, 1.0, 1.0)
    assert len(common_questions(judgments)) == len(judgments) == QUERIES * 6
    more = [replace(one, items=one.items[:2], sha256=("", "")) for one in judgments if one.answer.level is None]
    assert common_questions([*judgments, *more]) == common_questions(judgments), "what is chosen by answers is not"


@pytest.mark.slow
@pytest.mark.parametrize(("soft", "within"), [(True, 8), (False, 32)])
def test_the_noisier_of_the_two_kinds_is_found(soft, within):
    """Ratios of variances, of a score and of a compared image: 1/16 and 16 in truth. Choices tell less of them."""
    for score, compare in ((0.6, 2.4), (2.4, 0.6)):
        found = trust(judged(1, score, compare, soft=soft))
        ratio = found["scores"].variance / found["compares"].variance
        assert 1 / within < ratio / (score / compare) ** 2 < within
        assert (ratio > 1) == (score > compare)


def test_scores_and_choices_rank_the_images_of_a_query_together():
    judgments = judged(2, 0.3, 0.3)
    fitted = fit(judgments)
    alone = fit([one for one in judgments if one.teacher == "scores"])
    for query in fitted.queries:
        items, together = fitted.means(query)
        assert items == alone.means(query)[0]
        assert np.corrcoef(together, alone.means(query)[1])[0, 1] > 0.95


@pytest.mark.slow
def test_nobody_is_believed_for_repeating_an_answer():
    """Both err in a way that stays with the image; that of who is asked twice is not taken for the truth."""
    known = [trust(judged(seed, 1.5, 0.1, taste=1.5)) for seed in range(3)]
    ratios = [one["scores"].variance / one["compares"].variance for one in known]
    assert np.exp(np.mean(np.log(ratios))) < 6  # where repetition counts, it is 8

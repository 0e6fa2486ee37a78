"""What the backbone knew is retained, as strongly as validation asks for."""

import pytest
import torch
from torch.nn.functional import normalize

from vdistill.distill import retention
from vdistill.distill.retention import drift, own_probability, steered, titles_of


@pytest.fixture
def knowledge():
    """Six images close to their titles; the last two share one."""
    return six(["a", "b", "c", "d", "e", "e"])


def six(names):
    torch.manual_seed(0)
    texts = dict(zip("abcde", normalize(torch.randn(5, 16), dim=1), strict=True))
    before = torch.stack([texts[name] for name in "abcdee"])
    before = normalize(before + 0.2 * torch.randn(6, 16), dim=1)

    def encode(titles):
        return torch.stack([texts[title] for title in titles]) if titles else torch.zeros(0, 16)

    return titles_of(names, before, encode, 30.0), before


def loss(titles, student, memory):
    return titles.loss(student, torch.arange(6), memory, torch.Generator().manual_seed(0)).item()


def test_a_title_of_two_images_counts_once(knowledge):
    titles, _ = knowledge
    assert len(titles.texts) == 5
    assert titles.row.tolist() == [0, 1, 2, 3, 4, 4]


def test_the_loss_grows_as_images_leave_their_titles(knowledge):
    titles, before = knowledge
    away = normalize(torch.randn(6, 16), dim=1)
    found = [loss(titles, normalize(before + size * away, dim=1), before) for size in (0.0, 0.3, 1.0)]
    assert found == sorted(found)
    assert found[0] < 0.1 < found[2]


def test_beyond_a_limit_a_sample_stands_for_all(monkeypatch):
    """Of 500 images about half are drawn: the mean over steps stays within a fifth, and each step draws anew."""
    torch.manual_seed(0)
    texts = normalize(torch.randn(500, 8), dim=1)
    before = normalize(texts + 0.3 * torch.randn(500, 8), dim=1)
    student = normalize(before[:10] + 0.3 * torch.randn(10, 8), dim=1)
    titles = titles_of([f"{n}" for n in range(500)], before, lambda _: texts, 30.0)

    def losses():
        rng = torch.Generator().manual_seed(0)
        return [titles.loss(student, torch.arange(10), before, rng).item() for _ in range(8)]

    whole = losses()
    assert len(set(whole)) == 1
    monkeypatch.setattr(retention, "MOST", 400)
    sampled = losses()
    assert len(set(sampled)) > 1, "the rest is drawn anew for each step"
    assert sum(sampled) / 8 == pytest.approx(whole[0], rel=0.2)
    monkeypatch.setattr(retention, "MOST", 4)
    assert max(losses()) < whole[0], "with fewer to choose among less can be mistaken"


@pytest.mark.parametrize("names", ["abcdee", ["a", "b", "", "d", "", "e"]])
def test_what_is_kept_of_the_backbone_and_what_is_computed_for_each_step_are_the_same(names, monkeypatch):
    kept, before = six(names)
    student = normalize(before + 0.3 * torch.randn(6, 16), dim=1)
    wanted = loss(kept, student, before)
    monkeypatch.setattr(retention, "_KEPT", 0)
    computed, _ = six(names)
    assert loss(computed, student, before) == wanted


@pytest.mark.parametrize("names", [["a", "b", "", "d", "e", "e"], ["", "b", "", "", "", "e"], [""] * 6])
def test_titles_are_retained_where_there_are_titles_and_vectors_elsewhere(names):
    """Also in a part of the images, and with nothing but untitled ones."""
    titles, before = six(names)
    away = normalize(before + 0.5 * torch.randn(6, 16), dim=1)
    found = loss(titles, away, before)
    titled = torch.tensor([bool(name) for name in names])
    rng, places = torch.Generator(), torch.arange(6)
    by_title = titles.loss(away[titled], places[titled], before, rng) if titled.any() else torch.tensor(0.0)
    by_drift = drift(away[~titled], before[~titled])
    assert found == pytest.approx(((titled.sum() * by_title + (~titled).sum() * by_drift) / 6).item(), rel=1e-5)
    part = titles.part(places[~titled])
    assert len(part.texts) == 0
    assert loss_of_all(part, away[~titled], before[~titled]) == pytest.approx(by_drift.item(), rel=1e-5)


def loss_of_all(titles, student, memory):
    return titles.loss(student, torch.arange(len(student)), memory, torch.Generator()).item()


def test_drift_is_zero_for_the_backbone_and_grows_with_distance(knowledge):
    _, before = knowledge
    assert drift(before, before).item() == pytest.approx(0, abs=1e-6)
    assert drift(normalize(before + 0.5, dim=1), before) > 0.01


def test_the_own_image_has_nearly_all_probability_where_titles_are_clear():
    vectors = torch.eye(4)
    assert own_probability(vectors, torch.eye(4), vectors, 30.0) == pytest.approx(1.0, abs=1e-6)
    assert own_probability(vectors, torch.eye(4), vectors.roll(1, 0), 30.0) < 1e-6


def test_the_weight_follows_what_is_lost_within_bounds():
    assert steered(0.2, 0.3) > 0.2 > steered(0.2, -0.1)
    assert steered(0.2, retention.TOLERANCE) == pytest.approx(0.2)
    slow, quick = steered(0.2, retention.MOST_LOST), steered(0.2, 0.4)
    assert quick / 0.2 == pytest.approx((slow / 0.2) ** 5), "five epochs' worth at once where too much is lost"
    weight = 0.2
    for _ in range(200):
        weight = steered(weight, 1.0)
    assert weight == retention.HIGHEST

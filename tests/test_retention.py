"""What the backbone knew is held, and as strongly as validation asks for."""

import pytest
import torch
from torch.nn.functional import normalize

from vdistill.distill import retention
from vdistill.distill.retention import drift, own_probability, steered, titles_of


@pytest.fixture
def knowledge():
    """Six pictures close to their titles; the last two share one."""
    torch.manual_seed(0)
    titles = normalize(torch.randn(5, 16), dim=1)[[0, 1, 2, 3, 4, 4]]
    before = normalize(titles + 0.2 * torch.randn(6, 16), dim=1)
    return titles_of(titles, ["a", "b", "c", "d", "e", "e"], before, 30.0), before


def loss(titles, student, memory):
    return titles.loss(student, torch.arange(6), memory, torch.Generator().manual_seed(0)).item()


def test_titles_that_two_pictures_share_count_once(knowledge):
    titles, _ = knowledge
    assert len(titles.texts) == 5
    assert titles.of.tolist() == [0, 1, 2, 3, 4, 4]


def test_the_loss_grows_as_pictures_leave_their_titles(knowledge):
    titles, before = knowledge
    away = normalize(torch.randn(6, 16), dim=1)
    found = [loss(titles, normalize(before + size * away, dim=1), before) for size in (0.0, 0.3, 1.0)]
    assert found == sorted(found)
    assert found[0] < 0.1 < found[2]


def test_beyond_a_limit_a_sample_stands_for_all(knowledge, monkeypatch):
    titles, before = knowledge
    whole = loss(titles, before, before)
    monkeypatch.setattr(retention, "MOST", 2)
    assert loss(titles, before, before) == pytest.approx(whole, abs=1e-6), "what the step needs is always there"


def test_drift_is_zero_for_the_backbone_and_grows_with_distance(knowledge):
    _, before = knowledge
    assert drift(before, before).item() == pytest.approx(0, abs=1e-6)
    assert drift(normalize(before + 0.5, dim=1), before) > 0.01


def test_the_own_picture_has_nearly_all_probability_where_titles_are_clear():
    vectors = torch.eye(4)
    assert own_probability(vectors, torch.eye(4), vectors, 30.0) == pytest.approx(1.0, abs=1e-6)
    assert own_probability(vectors, torch.eye(4), vectors.roll(1, 0), 30.0) < 1e-6


def test_the_weight_follows_what_is_lost_within_bounds():
    assert steered(0.2, 0.3) > 0.2 > steered(0.2, -0.1)
    assert steered(0.2, retention.TOLERANCE) == pytest.approx(0.2)
    weight = 0.2
    for _ in range(200):
        weight = steered(weight, 1.0)
    assert weight == retention.HIGHEST

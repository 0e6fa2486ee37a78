"""The losses are what their formulae say."""

import math

import pytest
import torch

from vdistill.distill.losses import bradley_terry_loss, listwise_loss


def row(*values):
    return torch.tensor([values], dtype=torch.float32)


def ones(scores):
    return torch.ones_like(scores, dtype=torch.bool), torch.ones_like(scores), torch.ones(len(scores))


def test_bradley_terry_of_a_pair_is_the_cross_entropy_of_its_win():
    scores, target = row(0.3, 0.1), row(0.8, 0.2)
    p = 1 / (1 + math.exp(-(0.2) / 0.1))
    expected = -(0.8 * math.log(p) + 0.2 * math.log(1 - p))
    assert bradley_terry_loss(scores, target, *ones(scores), tau=0.1).item() == pytest.approx(expected, rel=1e-5)


def test_bradley_terry_is_least_where_the_student_agrees():
    target = row(0.6, 0.3, 0.1)
    agree = 0.1 * torch.log(target)
    shown, weight, mass = ones(target)
    best = bradley_terry_loss(agree, target, shown, weight, mass, 0.1)
    for _ in range(20):
        other = agree + 0.05 * torch.randn(1, 3)
        assert bradley_terry_loss(other, target, shown, weight, mass, 0.1) >= best


def test_a_hard_pick_says_nothing_of_the_pairs_it_left():
    target, (shown, weight, mass) = row(1.0, 0.0, 0.0), ones(row(0, 0, 0))
    a = bradley_terry_loss(row(0.5, 0.1, 0.4), target, shown, weight, mass, 1.0)
    b = bradley_terry_loss(row(0.5, 0.4, 0.1), target, shown, weight, mass, 1.0)
    assert a.item() == pytest.approx(b.item())


@pytest.mark.parametrize("loss", [bradley_terry_loss, listwise_loss])
def test_padding_changes_nothing(loss):
    scores, target = row(0.3, 0.1), row(0.8, 0.2)
    plain = loss(scores, target, *ones(scores), 0.1)
    shown = torch.tensor([[True, True, False]])
    padded = loss(row(0.3, 0.1, 0.9), row(0.8, 0.2, 0.0), shown, row(1, 1, 5), torch.ones(1), 0.1)
    assert padded.item() == pytest.approx(plain.item())
    assert torch.isfinite(padded)


def test_listwise_is_the_cross_entropy_of_the_distributions():
    scores, target = row(0.3, 0.1, 0.2), row(0.5, 0.2, 0.3)
    expected = -(target * torch.log_softmax(scores / 0.1, dim=1)).sum().item()
    assert listwise_loss(scores, target, *ones(scores), 0.1).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [bradley_terry_loss, listwise_loss])
def test_padded_rows_have_finite_gradients(loss):
    scores = row(0.3, 0.1, 0.0).requires_grad_()
    loss(scores, row(1.0, 0.0, 0.0), torch.tensor([[True, True, False]]), row(1, 1, 1), torch.ones(1), 0.05).backward()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[0, 2] == 0


def test_a_call_without_mass_says_nothing():
    scores, target = torch.tensor([[0.3, 0.1], [0.0, 0.9]]), torch.tensor([[0.8, 0.2], [1.0, 0.0]])
    shown, weight = torch.ones(2, 2, dtype=torch.bool), torch.ones(2, 2)
    for loss in (bradley_terry_loss, listwise_loss):
        alone = loss(scores[:1], target[:1], shown[:1], weight[:1], torch.ones(1), 0.1)
        assert loss(scores, target, shown, weight, torch.tensor([1.0, 0.0]), 0.1).item() == pytest.approx(alone.item())

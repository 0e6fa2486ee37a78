"""A trained adapter validated at several strengths, without training anything."""

from __future__ import annotations

from typing import Any

from vdistill.distill.loop import Training
from vdistill.distill.strength import STRENGTHS, Point
from vdistill.distill.towers import embed


def sweep(training: Training) -> list[Point]:
    """How the model validates at each of `STRENGTHS`; empty where nothing can tell, and in all but the first process.

    Nothing can without validation queries, and for weight-decomposed adapters, whose strength is no single factor.
    """
    validation, model = training.data.validation, training.encoder.model
    if validation is None or not validation.backbone or training.settings.dora or not training.processes.leads:
        return []
    model.eval()
    exam, points = training.data.exam(), []
    for strength in STRENGTHS:
        set_strength(model, strength)
        images = embed(validation.tower)
        scores = validation.scores(images)
        ndcg = scores.ndcg if exam is None else [round(float(value), 6) for value in exam.ndcg(images)]
        points.append(Point(strength, ndcg, scores.ndcg, validation.literal(images), scores.lost))
    set_strength(model, 1.0)
    return points


def set_strength(model: Any, strength: float) -> None:
    """Scale the adapter in the layers of a PEFT model, relative to how it was trained."""
    for layer in model.modules():
        if hasattr(layer, "set_scale"):
            for name in list(layer.scaling):
                layer.set_scale(name, strength)

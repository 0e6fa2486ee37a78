"""The model card that lies beside the adapter."""

from __future__ import annotations

from typing import Any


def render(facts: dict[str, Any]) -> str:
    """The README of a student, from the facts in its `student.json`."""
    settings = "\n".join(f"- {name}: {value}" for name, value in facts["settings"].items())
    return f"""---
library_name: peft
base_model: {facts["backbone"]}
tags: [vdistill, lora, image-retrieval]
---

# A vdistill student

A LoRA adapter on the image tower of `{facts["backbone"]}`, trained on {facts["judgments"]} judgments of
{", ".join(f"`{name}`" for name in facts["teachers"])}. The text tower is the backbone's own.

## Held-out figures

Unseen queries on unseen pictures, judged by the teacher ({facts["holdout"]:.0%} of items and queries held out).

{_table(facts["heldout"])}

## Training

{settings}
"""


def _table(heldout: dict[str, dict[str, float]]) -> str:
    if not heldout:
        return "Not measured: there were no held-out judgments."
    models = list(heldout)
    metrics = list(heldout[models[0]])
    head = f"| metric | {' | '.join(models)} |\n|---|{'---|' * len(models)}"
    rows = [f"| {metric} | {' | '.join(f'{heldout[model][metric]:.3f}' for model in models)} |" for metric in metrics]
    return "\n".join([head, *rows])

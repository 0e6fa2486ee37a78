"""The model card that lies beside the adapter."""

from __future__ import annotations

from typing import Any

from vdistill.distill import curve


def render(facts: dict[str, Any]) -> str:
    """The README of a student, from the facts in its `student.json`."""
    settings = "\n".join(f"- {name}: {value}" for name, value in facts["settings"].items())
    data = facts["data"]
    return f"""---
library_name: peft
base_model: {facts["backbone"]}
pipeline_tag: zero-shot-image-classification
tags: [vdistill, lora, image-retrieval]
---

# A vdistill student

A LoRA adapter on the image tower of `{facts["backbone"]}`, made from {facts["judgments"]:,} judgments of
{", ".join(f"`{name}`" for name in facts["teachers"])}. {data["queries"]:,} queries and {data["items"]:,} images
were used for training. The text tower is the backbone's own.

## Use

```python
{_usage(facts)}
```

## Held-out figures

Unseen queries on unseen images, judged by the teacher ({facts["holdout"]:.0%} of items and queries held out), with
95 % bootstrap intervals.

{_table(facts["heldout"], facts["ci95"])}

## Training

![learning curve]({curve.FILE})

{_story(facts)}

{settings}
"""


def _story(facts: dict[str, Any]) -> str:
    """Which epoch's weights these are, and what went wrong on the way."""
    epochs, kept = len(facts["history"]), facts["kept_epoch"]
    story = [f"The weights are those of epoch {kept or epochs} of {epochs}."]
    story += [
        f"At a learning rate of {one['lr']:.2g}, {one['lost']:.2f} of what the backbone knew of titles was lost by "
        f"epoch {one['epoch']:.0f}, so training started over at a third of it."
        for one in facts["restarts"]
    ]
    if facts["objection"]:
        story.append(f"**Published with --keep-anyway although {facts['objection']}.**")
    return "\n".join(story)


def _usage(facts: dict[str, Any]) -> str:
    backbone = facts["backbone"]
    if facts.get("layout") == "open_clip":  # transformers cannot open it
        return f"""from pathlib import Path

from vdistill.encoders.dual_encoder import DualEncoder  # for others: vdistill distill --merge DIR

encoder = DualEncoder.load("{backbone}", adapter=Path("path/to/this/folder"))"""
    return f"""from peft import PeftModel
from transformers import AutoModel

model = PeftModel.from_pretrained(AutoModel.from_pretrained("{backbone}"), "path/to/this/folder")"""


def _table(held_out: dict[str, dict[str, float]], ci95: dict[str, dict[str, tuple[float, float]]]) -> str:
    if not held_out:
        return "Not measured: there were no held-out judgments."
    models = list(held_out)
    metrics = list(held_out[models[0]])
    head = f"| metric | {' | '.join(models)} | gain |\n|---|{'---|' * (len(models) + 1)}"
    rows = [
        f"| {metric} | {' | '.join(_cell(held_out[model][metric], ci95[model].get(metric)) for model in models)} "
        f"| {_cell(held_out['student'][metric] - held_out['backbone'][metric], ci95['student-backbone'].get(metric))} |"
        for metric in metrics
    ]
    return "\n".join([head, *rows])


def _cell(value: float, interval: tuple[float, float] | None) -> str:
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")

"""The requests of a job as lines of JSON, in the form of OpenAI's batch files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdistill.label.questions import Asked, Keyed
from vdistill.label.teacher import Batched
from vdistill.label.teachers.chat_batches import PATH
from vdistill.records import Failure, Question, ShownImage
from vdistill.workspace import writing

MOST_BYTES, MOST_LINES = 90_000_000, 50_000  # of a file; Together takes 100 MB, OpenAI 200
Refused = Callable[[str, Asked, Failure], None]


@dataclass(slots=True)
class Lines:
    """The requests of one job in a file.  usd: what they are expected to cost."""

    path: Path
    questions: dict[str, dict[str, Any]] = field(default_factory=dict)
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much a file may hold."""

    bytes: float = MOST_BYTES
    lines: float = MOST_LINES


def written(
    asked: Iterable[tuple[Keyed, float]], teacher: Batched, path: Callable[[], Path], refused: Refused, most: Size
) -> Iterator[Lines]:
    """Files for questions and their prices, each given when it is full.

    refused: is told of questions that cannot be asked, such as those about images that cannot be read.
    """
    lines, size = Lines(path()), 0
    for (key, one), usd in asked:
        body = teacher.request(one.question)
        if isinstance(body, Failure):
            refused(key, one, body)
            continue
        request = {"custom_id": key, "method": "POST", "url": PATH, "body": body}
        line = f"{json.dumps(request, ensure_ascii=False)}\n".encode()
        if lines.questions and (size + len(line) > most.bytes or len(lines.questions) >= most.lines):
            yield lines
            lines, size = Lines(path()), 0
        with writing(lines.path), lines.path.open("ab") as file:
            file.write(line)
        size += len(line)
        lines.questions[key] = as_json(one, teacher.prompt)
        lines.usd += usd
    if lines.questions:
        yield lines


def as_json(asked: Asked, prompt: str) -> dict[str, Any]:
    """A question, asked with this prompt, as the store keeps it while it is under way."""
    question = asked.question
    images = [[image.item_id, image.sha256] for image in question.images]
    asking: dict[str, Any] = {"query": question.query, "images": images, "ask": question.ask}
    if question.none:
        asking["none"] = True
    return {"question": asking, "split": asked.split, "pool": asked.pool, "prompt": prompt}


def from_json(stored: dict[str, Any]) -> Asked:
    """The same again; where its images are is not kept."""
    question = stored["question"]
    images = tuple(ShownImage(item, "", sha256) for item, sha256 in question["images"])
    asking = Question(question["query"], images, question["ask"], bool(question.get("none")))
    return Asked(asking, stored["split"], stored["pool"])

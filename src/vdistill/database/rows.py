"""Judgments as rows of their table."""

from __future__ import annotations

import json
import sqlite3
import sys
from typing import Any

from vdistill.records import Answer, Judgment


def row_of(key: str, prompt: str, judgment: Judgment, now: float) -> tuple[Any, ...]:
    """The values of the table's columns, in their order."""
    answer = judgment.answer
    return (
        key,
        judgment.teacher,
        prompt,
        judgment.query,
        judgment.split,
        judgment.pool,
        judgment.ask,
        json.dumps(judgment.items),
        json.dumps(judgment.sha256),
        None if answer.probabilities is None else json.dumps([round(p, 7) for p in answer.probabilities]),
        None if answer.order is None else json.dumps(answer.order),
        answer.tokens,
        answer.cost_usd,
        now,
        answer.coverage,
        answer.thought_tokens,
        answer.level,
        answer.none,
        answer.accepted,
    )


def judgment_of(row: sqlite3.Row) -> Judgment:
    """The judgment of a row with all columns."""
    return Judgment(
        query=row["query"],
        items=tuple(map(sys.intern, _read(row["items"]))),  # each is in very many judgments, in memory once
        sha256=tuple(map(sys.intern, _read(row["sha256"]))),
        ask=row["ask"],
        answer=answer_of(row),
        teacher=row["teacher"],
        split=row["split"],
        pool=row["pool"],
        prompt=row["prompt"],
    )


def answer_of(row: sqlite3.Row) -> Answer:
    """The answer alone."""
    return Answer(
        probabilities=None if row["probabilities"] is None else tuple(_read(row["probabilities"])),
        order=None if row["ranking"] is None else tuple(_read(row["ranking"])),
        tokens=row["tokens"],
        cost_usd=row["cost_usd"],
        coverage=row["coverage"],
        thought_tokens=row["thought_tokens"],
        level=row["level"],
        none=row["none"],
        accepted=row["accepted"],
    )


_DECODER = json.JSONDecoder()


def _read(text: str) -> list[Any]:
    """A list that `row_of` wrote: without `json.loads`, whose searches for space take longer than a short list."""
    found: list[Any] = _DECODER.raw_decode(text)[0]
    return found

"""What came back in the results of a job: answers, failures, and questions that were not processed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vdistill.database.batch_jobs import ANSWERED, FAILED, UNPROCESSED
from vdistill.label.answers import checked
from vdistill.label.batch.desk import Ended
from vdistill.label.batch.files import from_json
from vdistill.label.questions import Asked
from vdistill.label.teacher import Batched
from vdistill.label.teachers.chat_replies import words_of
from vdistill.records import Answer, Failure

_NEVER = ("expired", "cancelled", "canceled")  # in the codes of questions that were not processed


@dataclass(slots=True)
class Results:
    """By key what was answered and why others failed, and what became of each question of the job."""

    answers: dict[str, tuple[Asked, Answer]] = field(default_factory=dict)
    failures: dict[str, tuple[Asked, Failure]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """How many questions a model answered, readably or not: errors of the server are none of them."""
        return len(self.answers) + sum(said.tokens > 0 for _, said in self.failures.values())

    @property
    def paid(self) -> list[Answer | Failure]:
        """All that was processed, with its tokens and cost."""
        answers: list[Answer | Failure] = [said for _, said in self.answers.values()]
        return answers + [said for _, said in self.failures.values()]


def read_results(ended: Ended, asked: Mapping[str, dict[str, Any]], teacher: Batched) -> Results:
    """Read the lines, in any order; one that comes twice counts once, and an answer counts before an error.

    asked: the questions of the job by key, as `files.as_json`.
    """
    found, broken = Results(), 0
    for line in ended.lines:
        document = _parsed(line)
        broken += document is None
        key = str((document or {}).get("custom_id"))
        if document is not None and key in asked and found.outcomes.get(key) != ANSWERED:
            _take(found, key, from_json(asked[key]), _said(document, from_json(asked[key]), teacher))
    missing = [key for key in asked if key not in found.outcomes]
    for key in missing:
        if ended.whole or broken:  # it may have been paid: it is not lost in silence
            _take(found, key, from_json(asked[key]), Failure("the results of the job do not have it"))
        else:
            found.outcomes[key] = UNPROCESSED
    return found


def _take(found: Results, key: str, asked: Asked, said: Answer | Failure | None) -> None:
    if said is None:
        found.outcomes.setdefault(key, UNPROCESSED)
    elif isinstance(said, Answer):
        found.outcomes[key], found.answers[key] = ANSWERED, (asked, said)
        found.failures.pop(key, None)
    else:
        found.outcomes[key], found.failures[key] = FAILED, (asked, said)


def _said(document: Mapping[str, Any], asked: Asked, teacher: Batched) -> Answer | Failure | None:
    """The answer, why there is none, or None where the question was not processed."""
    response, question = document.get("response"), asked.question
    response = response if isinstance(response, Mapping) else {}
    if response.get("status_code", 200) == 200 and response.get("body"):
        return checked([teacher.read(question, response["body"])], [question])[0]
    error = document.get("error") or response.get("body") or "the line has neither an answer nor an error"
    words = words_of(error)
    code = str(error.get("code")) if isinstance(error, Mapping) else ""
    if any(word in code for word in _NEVER) or teacher.refused(question, words):
        return None
    return Failure(" ".join(words.split())[:300])


def _parsed(line: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return document if isinstance(document, Mapping) else None


def usd_of(said: Sequence[Answer | Failure]) -> float:
    """What answers and failures cost, in US dollars."""
    return sum(one.cost_usd for one in said)

"""Jobs that are files on this machine, for `vllm run-batch`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from vdistill.database.batch_jobs import BatchJobs, Job
from vdistill.errors import VdistillError
from vdistill.label.batch.desk import Ended
from vdistill.label.batch.files import Lines, Size
from vdistill.workspace import replacing, writing


class LocalFiles:
    """A `Desk` of one file of requests; the answers are expected beside it."""

    most = Size(float("inf"), float("inf"))

    def __init__(self, path: Path, model: str, jobs: BatchJobs) -> None:
        self._path, self._model, self._jobs, self.place = path, model, jobs, str(path.resolve())

    @property
    def results(self) -> Path:
        """Where the answers are expected."""
        return self._path.with_name(f"{self._path.stem}.results.jsonl")

    def submit(self, name: str, lines: Lines) -> None:
        """Put the requests where the user wants them."""
        with writing(self._path), replacing(self._path) as aside:
            shutil.move(lines.path, aside)
        self._jobs.step(name, "submitted")

    def settle(self, job: Job) -> None:
        """It is handed in if its file is there."""
        if job.state == "planned" and job.place == self.place:
            self._jobs.step(job.name, "submitted" if self._holds(job) else "lost")

    def ended(self, job: Job) -> Ended | None:
        """The answers, once there are any of this job; nothing where its requests were removed or replaced.

        Raises VdistillError for results that are not complete.
        """
        if Path(job.place) != Path(self.place):
            return None
        known, lines = self._jobs.questions(job.name), _lines(self.results)
        ours = [line for line in lines if _custom_id(line, self.results) in known]
        if ours:
            return Ended(ours, whole=False)
        return None if self._holds(job) else Ended((), whole=False, reason=f"{self.place} is not there any more")

    def told(self, jobs: Sequence[Job]) -> str:
        """What to do with the files."""
        commands = [
            f"vllm run-batch -i {job.place} -o {self._path.parent / f'{Path(job.place).stem}.results.jsonl'} "
            f"--model {self._model}"
            for job in jobs
        ]
        return "\n".join(["answer the requests, then run the same command again:", *commands])

    def close(self) -> None:
        """There is nothing to release."""

    def _holds(self, job: Job) -> bool:
        first = next(iter(_lines(self._path, most=1)), None)
        return first is not None and _custom_id(first, self._path) in self._jobs.questions(job.name)


def _lines(path: Path, most: int | None = None) -> list[str]:
    """The lines of a file, as many as wanted; none where it is not there."""
    if not path.exists():
        return []
    with writing(path), path.open(encoding="utf-8") as file:
        return [line for _, line in zip(range(most), file, strict=False)] if most else file.readlines()


def _custom_id(line: str, path: Path) -> str:
    try:
        return str(json.loads(line)["custom_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise VdistillError(
            f"{path} is not complete: a line is no result of a batch", hint="wait until it is written, or write it anew"
        ) from error

"""Jobs on a server with OpenAI's batch API."""

from __future__ import annotations

import time
from collections.abc import Sequence

from vdistill.database.batch_jobs import BatchJobs, Job
from vdistill.errors import TeacherError
from vdistill.label.batch.desk import Ended
from vdistill.label.batch.files import Lines, Size
from vdistill.label.teachers.chat_batches import BatchClient, ServerJob, UnknownFate

UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling", "queued", "pending", "running")
ARRIVES = 5.0  # seconds after which a request that creates a job has arrived, or never will


class Server:
    """A `Desk`."""

    most = Size()

    def __init__(self, client: BatchClient, jobs: BatchJobs) -> None:
        self._client, self._jobs, self.place = client, jobs, client.place
        self._seen: dict[str, ServerJob] = {}

    def submit(self, name: str, lines: Lines) -> None:
        """Upload, then create: what is killed in between is found again by `settle`."""
        try:
            file_id = self._client.upload(lines.path, name)
            self._jobs.step(name, "creating", file_id=file_id)
            made = self._client.create(file_id, name)
        except UnknownFate as fate:
            time.sleep(ARRIVES)
            if not self._adopt(name, file_id):
                raise TeacherError(str(fate), hint="run the same command again: nothing is asked twice") from fate
            return
        except TeacherError:
            self._jobs.step(name, "lost")
            raise
        self._jobs.step(name, "submitted", job_id=made.id)

    def settle(self, job: Job) -> None:
        """Look for it among the server's jobs. Without a file on the server there can be none."""
        if job.place != self.place:
            return
        if job.state == "planned":
            self._jobs.step(job.name, "lost")
        elif job.state == "creating":
            time.sleep(max(0.0, min(ARRIVES, job.since + ARRIVES - time.time())))
            self._adopt(job.name, job.file_id)

    def ended(self, job: Job) -> Ended | None:
        """Its results and errors, once it is completed, expired or cancelled; nothing of one that failed.

        A job of another server, or in a file, stays under way.
        """
        if job.place != self.place:
            return None
        found = self._client.job(job.job_id or "")
        if found is None:
            return Ended((), whole=False, reason="the server knows it no more")
        if found.status in UNDER_WAY:
            self._seen[job.name] = found
            return None
        lines = [line for file in found.files for line in self._client.content(file).splitlines()]
        reason = "" if found.status == "completed" else " ".join([found.status, found.reason]).strip()
        return Ended(lines, whole=found.status == "completed", reason=reason)

    def told(self, jobs: Sequence[Job]) -> str:
        """How far they are."""
        seen = [self._seen[job.name] for job in jobs if job.name in self._seen]
        done, total = sum(one.done for one in seen), sum(job.calls for job in jobs)
        many = f"{len(jobs)} jobs are" if len(jobs) > 1 else "a job is"
        places = " and ".join(sorted({job.place for job in jobs}))
        return f"{many} under way at {places}: {done:,} of {total:,} questions are done"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _adopt(self, name: str, file_id: str | None) -> bool:
        """Whether the server has this job after all; where it does not, it is lost."""
        found = self._client.find(name, file_id)
        self._jobs.step(name, "submitted" if found else "lost", job_id=found.id if found else None)
        return found is not None

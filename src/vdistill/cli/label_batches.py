"""`label --batch` and `--batch-file`: which desk takes the jobs, and what cannot be asked in batches."""

from dataclasses import dataclass
from pathlib import Path

from vdistill.database.batch_jobs import BatchJobs
from vdistill.errors import VdistillError
from vdistill.label.asking import Tally
from vdistill.label.batch.desk import Desk
from vdistill.label.batch.local_files import LocalFiles
from vdistill.label.batch.run import BatchRun
from vdistill.label.batch.servers import Server
from vdistill.label.teacher import Batched, Teacher
from vdistill.label.teachers.chat_batches import BatchClient
from vdistill.label.teachers.chat_endpoint import read_endpoint
from vdistill.label.teachers.chat_http import Patience
from vdistill.label.teachers.options import TeacherOptions


@dataclass(frozen=True)
class Batching:
    """What the user said about batches.  session: names the command.  file: None for a server."""

    session: str
    file: Path | None = None

    def run(self, options: TeacherOptions, model: str, first: Tally) -> BatchRun:
        """The run of this session.  first: what was asked at once before."""

        def desk(jobs: BatchJobs) -> Desk:
            if self.file is not None:
                return LocalFiles(self.file, model, jobs)
            return Server(BatchClient(read_endpoint(options.endpoint, options.key_name), Patience()), jobs)

        return BatchRun(self.session, desk, self.file is None, first)


def notes(teacher: Teacher, options: TeacherOptions, paraphrases: int | None) -> list[str]:
    """What the user should know before. Raises VdistillError for a teacher that cannot be asked in batches."""
    if not isinstance(teacher, Batched):
        raise VdistillError(
            f"--batch is for servers with a batch API, and {teacher.name} is none",
            hint="give --endpoint URL, or leave --batch out",
        )
    found = []
    if not options.offline and teacher.factor is None and options.price_of(*_names(teacher)):
        found.append(
            "no batch discount of this server is known, so calls are priced in full: a third number in [prices], such "
            "as 0.5, is the share of the price that a batch costs"
        )
    if paraphrases is None:
        found.append("--batch asks for no other wordings: without it, the same command does, at once")
    return found


def _names(teacher: Teacher) -> tuple[str, str]:
    return teacher.name.removeprefix("openai:"), teacher.name

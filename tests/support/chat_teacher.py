"""The chat API teacher as tests open it: at a server on loopback, and quick to give up."""

from chat_server import completion
from vdistill.label.teachers.openai_api import OpenAITeacher, Patience
from vdistill.label.teachers.options import TeacherOptions

QUICK = Patience(timeout=2.0, attempts=3, backoff=0.01, longest=0.3)
SOFT = completion("B", {"A": -2.0, "B": -0.2})


def teacher_at(endpoint, said=None, patience=QUICK, **options):
    """The teacher of an address or a `ChatServer`; what it tells the user goes into `said`."""
    known = TeacherOptions(endpoint=getattr(endpoint, "url", endpoint), **{"prices": {"vlm": (1.0, 2.0)}} | options)
    return OpenAITeacher("vlm", known, say=([] if said is None else said).append, patience=patience)


def ask(endpoint, *questions, **how):
    """The answers of a teacher that is opened for these questions and closed."""
    teacher = teacher_at(endpoint, **how)
    try:
        return teacher.ask(questions)
    finally:
        teacher.close()

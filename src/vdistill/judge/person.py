"""A person as a `Teacher`: who they are. They are asked on the judge page, and not by `ask`."""

from __future__ import annotations

import getpass
from collections.abc import Sequence

from vdistill.database.people import PREFIX
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.teacher import Price
from vdistill.records import Answer, Failure, Question

PROMPT = "page:1"  # the version of what the page asks
MOST_LETTERS = 64
PAGE = "page"  # the name under which the thumbs of the search page are stored


class Person:
    """Someone who judges on the page; every answer is one of `human:NAME`."""

    prompt = PROMPT
    batch_size = 1
    concurrency = 1
    looks = True

    def __init__(self, name: str) -> None:
        self.name = PREFIX + name

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Raise TeacherError: a person is asked on the page."""
        raise TeacherError(f"{self.name} answers on the judge page", hint="run `vdistill label --teacher me`")

    def price(self, question: Question) -> Price:
        """It costs no money."""
        return Price()

    def close(self) -> None:
        """Nothing is held open."""


def name_in(spec: str) -> str:
    """NAME of `me:NAME`; for `me` the name of the system's user. Raises VdistillError for one that cannot be stored."""
    given = spec.partition(":")[2] if ":" in spec else _user()
    name = given.strip()
    if not name or len(name) > MOST_LETTERS or not name.isprintable():
        raise VdistillError(f"{given[:MOST_LETTERS]!r} is no name for a person",
                            hint=f"give one of up to {MOST_LETTERS} letters: --teacher me:NAME")  # fmt: skip
    if name == PAGE:
        raise VdistillError(f"the name {name!r} is taken by the search page", hint="give another one: me:NAME")
    return name


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:
        raise VdistillError("the system does not tell who you are", hint="give a name: --teacher me:NAME") from error

"""How a server was started, and what anybody may ask of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.query.filters import Limits

MOST_RESULTS = 1000
MOST_DIVERSE = 200  # results that differ: the work grows with the square of the candidates
MOST_SHOWN = 100  # items that nobody has searched for
MOST_QUERIES = 100  # of a batch, and texts to embed
MOST_TERMS = 16
MOST_LETTERS = 4000  # of a text or a filter
SIDES = (160, 320, 640, 1280)  # px, of thumbnails

BODY_BYTES = 16 * 2**20
SMALL_BODY = 64 * 2**10  # larger bodies take turns
LARGE_BODIES = 4  # held in memory at once
BODY_SECONDS = 20.0
HEAD_SECONDS = 10.0
READ_SECONDS = 30.0  # that a caller may leave an answer unread
ANSWER_SECONDS = 60.0
WHY_SECONDS = 10.0  # that a question waits while training queries are encoded, before it hears how far they are
IMAGE_PIXELS = 50_000_000  # of an image that is sent
IN_FLIGHT = 512  # requests at once
WAITING = 256  # of these, for one kind of work
RERANKED = 32  # of these, that wait for a teacher
RETRY_SECONDS = 2
RESIDENT_BYTES = 600 * 2**20  # of memory, from which on the pages of vectors are given back
THUMBNAIL_BYTES = 512 * 2**20  # on the disk

# No function that SQLite calls can be interrupted, so its arguments are short: `instr` takes their product.
FILTER_LIMITS = Limits(cpu_seconds=5.0, wall_seconds=10.0, value_bytes=100_000, pattern_bytes=1000)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server was started.

    model: which one answers by default; None for the student where there is one.  hosts: names beside its address that
    it may be called by.  origins: of other pages that may call it.  token: what callers must know.  image_urls: whether
    it fetches images that callers name.  access_log: whether it prints a line for each request, without its text.
    feedback: whether thumbs become judgments.  log_searches: the file that searches are logged to.  why: whether it
    names the judgments behind results.
    """

    host: str = "127.0.0.1"
    model: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    token: str | None = None
    image_urls: bool = False
    access_log: bool = False
    feedback: bool = False
    log_searches: Path | None = None
    why: bool = False

    @property
    def local(self) -> bool:
        """Whether this machine alone can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def check(self) -> None:
        """Raise VdistillError where others could reach it without a token."""
        if not self.local and self.token is None:
            raise VdistillError(
                f"--host {self.host} lets others reach this server, so it needs a token",
                hint="put a long random text into a variable, say TOKEN, and add --token-env TOKEN",
            )

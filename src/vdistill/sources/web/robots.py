"""What a host lets robots do: its robots.txt (RFC 9309), the header X-Robots-Tag, and the `meta` tags of a page."""

from __future__ import annotations

from collections.abc import Iterable
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protego import Protego

AGENT = "vdistill"
LONGEST = 512_000  # bytes of a robots.txt that are read
_NO_AI = frozenset({"noai", "noimageai"})


class Rules:
    """The rules of one host; none where it has no robots.txt."""

    def __init__(self, text: str = "") -> None:
        self._parsed: Protego | None = None
        if text:
            from protego import Protego

            self._parsed = Protego.parse(text)

    def allow(self, url: str) -> bool:
        """Whether the address may be fetched."""
        return self._parsed is None or bool(self._parsed.can_fetch(url, AGENT))

    @property
    def interval(self) -> float:
        """The least seconds between requests that the rules ask for."""
        if self._parsed is None:
            return 0.0
        delay, rate = self._parsed.crawl_delay(AGENT), self._parsed.request_rate(AGENT)
        return max(float(delay or 0), rate.seconds / rate.requests if rate and rate.requests else 0.0)


def forbids_ai(tags: Iterable[str]) -> bool:
    """Whether X-Robots-Tag headers keep an image from AI: for all robots, or for this one by its name."""
    for tag in tags:
        agent = ""
        for part in tag.lower().split(","):
            name, colon, rest = part.strip().partition(":")
            if colon and " " not in name and name not in _VALUED:
                agent, part = name, rest  # it holds for what follows
            if part.strip() in _NO_AI and agent in ("", "*", AGENT):
                return True
    return False


def page_forbids_ai(page: str) -> bool:
    """Whether `<meta name="robots">` of a page, or one for this robot by its name, keeps what is there from AI."""
    reader = _MetaTags()
    reader.feed(page)
    return forbids_ai(reader.found)


class _MetaTags(HTMLParser):
    """Collects what a page says to robots."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag == "meta" and (said.get("name") or "").strip().lower() in ("robots", AGENT):
            self.found.append(said.get("content") or "")


_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})

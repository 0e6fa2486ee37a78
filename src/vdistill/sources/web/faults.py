"""Why an image could not be had: words that are the same for all of a kind, so that they can be counted."""

from __future__ import annotations

import errno
import re
import ssl

RETRY_AFTER = 3600.0  # s, after which a program that still runs may try again
MEGABYTES = 32  # the largest image that is read
TOO_LARGE = f"it is larger than {MEGABYTES} megabytes"
PAGE = "its address shows a web page"
TEXT = "its address shows a text, not an image"
REDIRECTED_TO_PAGE = "its address redirects to a web page"
REDIRECTED_AWAY = "its address redirects to what is no http or https address"
REDIRECTED_INSIDE = "its public address redirects into a private network"
REDIRECTED_OFTEN = "its address redirects too often"
NO_ADDRESS = "it has no valid address"
ROBOTS = "the server's robots.txt forbids it"
NO_ROBOTS = "the server's robots.txt cannot be read now"
NO_AI = "the server wants it in no ai (x-robots-tag)"
UNREACHABLE = "its server cannot be reached"
SLOW = "its server answers too slowly"
CUT_SHORT = "its server breaks off the answer"
LATER = "its server asks to come back later"
_STATUS = {401: "password needed", 403: "forbidden", 404: "not found", 410: "gone", 429: "too many requests"}
_REASON = re.compile(r"CERTIFICATE_VERIFY_FAILED\]? certificate verify failed: ([^(]+)")


class Unavailable(OSError):
    """An image that cannot be had now, or at all; `strerror` says why, and is lower-case."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EIO, reason)
        self.reason = reason


class PassingFault(Exception):
    """A fault that may pass: worth `most` attempts in all, the next after `after` seconds if the server says so."""

    def __init__(self, reason: str, most: int = 3, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.most, self.after = reason, most, after or 0.0


def status_reason(status: int) -> str:
    """What a status says."""
    return f"its server answers {status}" + (f" ({_STATUS[status]})" if status in _STATUS else "")


def certificate_fault(error: BaseException) -> str | None:
    """What is wrong with a server's certificate, if that is why there is no connection."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None and "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return None
    found = _REASON.search(str(cause or error))
    detail = getattr(cause, "verify_message", "") or (found[1].strip() if found else "")
    detail = "it is of another host" if "ostname mismatch" in detail or "not valid for" in detail else detail
    return "its server's certificate is not valid" + (f": {detail.lower()}" if detail else "")

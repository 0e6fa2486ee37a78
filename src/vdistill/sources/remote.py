"""Files that are elsewhere, through fsspec: objects of a bucket, files of a hub or of a server."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, Literal, TypeVar

from vdistill.errors import VdistillError, first_line
from vdistill.sources.cache import cache_in_use, through_cache
from vdistill.sources.outages import Outages
from vdistill.sources.secrets import shown, without_paths, without_secrets
from vdistill.sources.stamps import Stamp, stamp_of, version_of

T = TypeVar("T")

READERS = 32  # at once, in one process
CONNECT, SILENCE = 10.0, 20.0  # s: for a connection, without a byte
_ATTEMPTS = 5
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}
_CREDENTIALS = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket FSSPEC_S3_ANON=true",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS; for a public bucket FSSPEC_GS_TOKEN=anon",
    "hf": "log in with `hf auth login`, or set HF_TOKEN",
}
_LACK = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError")
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, VdistillError,
            NotImplementedError, ValueError, TypeError, KeyError)  # fmt: skip

_systems: dict[tuple[int, str], tuple[Any, Outages]] = {}
_lock = threading.Lock()


class RemoteFile:
    """A file that fsspec can read.  stamp: as a listing gave it, which saves asking again."""

    __slots__ = ("_stamp", "url")

    def __init__(self, url: str, stamp: Stamp | None = None) -> None:
        self.url, self._stamp = url, stamp

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Its bytes in memory, from the cache where it has them. Raises OSError where it cannot be read now."""
        if cache_in_use() is None:
            return io.BytesIO(read_bytes(self.url))
        return through_cache(self.url, version_of(self.stamp()), lambda: read_bytes(self.url))

    def stamp(self) -> Stamp:
        """Size, time of the last change, and a number made of the version or ETag. Raises OSError."""
        return self._stamp or remote_stamp(self.url)


def remote_stamp(url: str) -> Stamp:
    """Ask for the stamp of a file. Raises OSError."""
    system, path = system_of(url)
    return stamp_of(as_oserror(lambda: system.info(path), url))


def read_bytes(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of a file from `start` to `end`. Raises OSError where it cannot be read now."""
    (system, outages), path = _system_of(url)
    return outages.noted(lambda: bytes(as_oserror(lambda: system.cat_file(path, start=start, end=end), url)))


def open_remote(url: str, block_size: int = 4 << 20) -> BinaryIO:
    """A seekable file that reads ahead by blocks. Raises OSError where it cannot be opened."""
    (system, outages), path = _system_of(url)
    opened: BinaryIO = outages.noted(
        lambda: as_oserror(lambda: system.open(path, "rb", block_size=block_size, cache_type="readahead"), url)
    )
    return opened


def system_of(url: str) -> tuple[Any, str]:
    """The file system of a URL, one for all threads, and the path there.

    Raises VdistillError where the package for it is missing, or nothing knows such URLs.
    """
    (system, _), path = _system_of(url)
    return system, path


def _system_of(url: str) -> tuple[tuple[Any, Outages], str]:
    scheme, _, rest = url.partition("://")
    key = os.getpid(), scheme if scheme == "hf" else f"{scheme}://{rest.partition('/')[0]}"
    with _lock:
        found = _systems.get(key)
        if found is None:
            try:
                found = _made(scheme, url), Outages()
            except (ImportError, ValueError) as error:
                raise _unknown(scheme, error) from error
            _systems[key] = found
    return found, found[0]._strip_protocol(url)


def _made(scheme: str, url: str) -> Any:
    import fsspec
    from fsspec.config import conf

    kind = fsspec.get_filesystem_class(scheme)
    options = {**kind._get_kwargs_from_urls(url), "skip_instance_cache": True, "use_listings_cache": False}
    given = conf.get(scheme, {})
    if _EXTRAS.get(scheme) == "http":
        from aiohttp import ClientTimeout

        patience = ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
        options["client_kwargs"] = {"timeout": patience, **given.get("client_kwargs", {})}
    if _EXTRAS.get(scheme) != "s3":
        return fsspec.filesystem(scheme, **options)
    options["config_kwargs"] = {
        "max_pool_connections": READERS, "retries": {"total_max_attempts": 1}, "connect_timeout": CONNECT,
        "read_timeout": SILENCE, **given.get("config_kwargs", {}),
    }  # fmt: skip
    options["max_concurrency"] = 1  # else the size of each object is asked first
    system = fsspec.filesystem(scheme, **options)
    system.retries = 1  # `retried` does it, and would multiply them
    return system


def _unknown(scheme: str, error: Exception) -> VdistillError:
    if not isinstance(error, ImportError):
        return VdistillError(f"no file system is known for {scheme}://", hint="give a folder, or a URL fsspec knows")
    extra = _EXTRAS.get(scheme)
    hint = f"pip install 'vdistill[{extra}]'" if extra else f"install what it names: {first_line(error)}"
    return VdistillError(f"{scheme}:// needs a package that is missing", hint=hint)


def retried(work: Callable[[], T]) -> T:
    """The result of `work`, which is tried again a few times where an error may pass."""
    import tenacity

    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=8),
        retry=tenacity.retry_if_exception(_may_pass),
        reraise=True,
    )
    return attempts(work)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno == errno.EINVAL:
        return False
    return isinstance(error, Exception) and not isinstance(error, _LASTING) and type(error).__name__ not in _LACK


def as_oserror(work: Callable[[], T], url: str) -> T:
    """The result of `work`, tried again where that may help; the errors of all file systems become OSError.

    Raises VdistillError where credentials are missing.
    """
    try:
        return retried(work)
    except VdistillError:
        raise
    except Exception as error:
        if type(error).__name__ in _LACK:
            raise no_credentials(url) from None
        kind = type(error) if isinstance(error, (FileNotFoundError, PermissionError)) else OSError
        number = error.errno if isinstance(error, OSError) and error.errno else _number(kind)
        raise kind(number, reason_of(error)) from None  # the cause may hold a signed address


def _number(kind: type[OSError]) -> int:
    return {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}.get(kind, errno.EIO)


def reason_of(error: Exception) -> str:
    """What a foreign error says, in a line without secrets."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return f"access denied ({without_secrets(first_line(error))})"
    said = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
    return without_paths(said)


def no_credentials(url: str) -> VdistillError:
    """The error of a bucket for which there are no credentials, or that refuses them."""
    scheme = url.partition("://")[0]
    hint = _CREDENTIALS.get(_EXTRAS.get(scheme, scheme), "see the documentation of its fsspec file system")
    return VdistillError(f"no credentials for {shown(url)}", hint=hint)

"""A client of Qdrant, on a server or on a folder, that tries again while the server is away."""

from __future__ import annotations

import gc
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from vdistill.databases.address import FOLDER, Address
from vdistill.databases.engine import ConnectionLostError, VersionGoneError
from vdistill.errors import VdistillError, first_line

_KEY = "QDRANT_API_KEY"
_PAUSE = 0.5  # seconds between two attempts
_SECONDS = 30  # for a request


class Connection:
    """Calls methods of the client.  patience: for how many seconds a server that is away is asked again."""

    def __init__(self, client: Any, address: Address) -> None:
        self.client, self._address = client, address
        self.patience = 0.0

    @classmethod
    def open(cls, address: Address) -> Connection:
        """Connect. Raises VdistillError where the client is missing, or a folder is in use."""
        # The client warns of what is known: of folders with many points, and of a key that is sent without TLS.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                from qdrant_client import QdrantClient
            except ImportError as error:
                raise VdistillError("Qdrant needs an extra", hint="pip install 'vdistill[qdrant]'") from error
            if address.shown.startswith(FOLDER):
                return cls(_client_of_folder(QdrantClient, address), address)
            key = os.environ.get(_KEY)
            client = QdrantClient(url=address.location, api_key=key, timeout=_SECONDS, check_compatibility=False)
        return cls(client, replace(address, secrets=(key,) if key else ()))

    @property
    def on_folder(self) -> bool:
        """Whether it is the client's own engine."""
        return self._address.shown.startswith(FOLDER)

    def call(self, method: str, *arguments: Any, **more: Any) -> Any:
        """The result of a method of the client."""
        from qdrant_client.http.exceptions import ApiException, ResponseHandlingException

        give_up = time.monotonic() + self.patience
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    return getattr(self.client, method)(*arguments, **more)
            except ResponseHandlingException as error:
                if time.monotonic() >= give_up:
                    raise ConnectionLostError(
                        f"Qdrant at {self._address.shown} cannot be reached: {self._said(error)}",
                        hint="check host and port, and that the server runs",
                    ) from None
                time.sleep(_PAUSE)
            except ApiException as error:
                raise self._explained(error) from None
            except (ValueError, OSError) as error:  # of the client's own engine
                raise self._of_folder(error) from error

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    def _said(self, error: BaseException) -> str:
        return self._address.redacted(first_line(error))

    def _explained(self, error: Any) -> VdistillError:
        where, status = f"Qdrant at {self._address.shown}", getattr(error, "status_code", None)
        if status in (401, 403):
            wrong = f"the key in {_KEY} is wrong, or may not do this"
            missing = "it asks for a key, and none was given"
            return VdistillError(f"{where}: {wrong if os.environ.get(_KEY) else missing}", hint=f"set {_KEY}")
        if status == 404:
            return VersionGoneError(f"{where}: {self._said(error)}", hint="run `vdistill index --to` again")
        return VdistillError(f"{where}: {self._said(error)}", hint="what was stored stays; the same command continues")

    def _of_folder(self, error: Exception) -> VdistillError:
        where = self._address.shown
        if "not found" in str(error):
            return VersionGoneError(f"{where}: {first_line(error)}", hint="run `vdistill index --to` again")
        reason = getattr(error, "strerror", None) or first_line(error)
        return VdistillError(f"{where}: {reason}", hint="check the permissions and the free space")


def exists(address: Address) -> bool:
    """Whether the client's own engine ever wrote to the folder; opening it would make it."""
    return not address.shown.startswith(FOLDER) or (Path(address.location) / "meta.json").is_file()


def _client_of_folder(client: Any, address: Address) -> Any:
    """The client's own engine on a folder, which one process at a time may open."""
    try:
        return client(path=address.location, force_disable_check_same_thread=True)
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise VdistillError(f"{address.shown} cannot be opened: {reason}",
                            hint="check the permissions, and that qdrant-client made the folder") from None  # fmt: skip
    # Raised out here, where nothing holds its error any more: a client that is refused leaves its lock file open, and
    # connections to SQLite in cycles.
    gc.collect()
    raise VdistillError(f"{address.shown} is in use by another process",
                        hint="wait for it; for several at a time run a Qdrant server")  # fmt: skip

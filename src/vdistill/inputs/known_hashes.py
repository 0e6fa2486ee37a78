"""The hashes of a large folder that are known already, looked up by a process beside this one.

To ask for the status of a million files and look up their hashes takes as long as to read their metadata, and neither
waits for the other.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from vdistill.inputs.hashes import FILE, Hashes
from vdistill.inputs.item_table import ItemFile, parts
from vdistill.inputs.listings import folder
from vdistill.programs import environment, program
from vdistill.sources import joined

_PROGRAM = "from vdistill.inputs.known_hashes import main; main()"
_WORTH_IT = 4 * 2**20  # bytes of the cache: of some 28,000 files
_SHA256 = 64  # characters


class KnownHashes:
    """What the process finds. To be closed."""

    def __init__(self, root: str, cache: Path) -> None:
        """Start the process. root: the folder.  cache: that which has the hashes."""
        # Not a pipe, which would hold the process up until it is read.
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                program(_PROGRAM, root, str(cache)), stdin=subprocess.DEVNULL, stdout=self._file,
                stderr=subprocess.DEVNULL, env=environment(),
            )  # fmt: skip
        except BaseException:
            self._file.close()
            raise

    def found(self) -> dict[str, str]:
        """The hashes by id, once the process has ended. What is absent was not found, for whatever reason."""
        self._process.wait()
        self._file.seek(0)
        # The last line of a process that was killed may be half of one.
        return {line[_SHA256 + 1 : -1]: line[:_SHA256] for line in self._file if line.endswith("\n")}

    def close(self) -> None:
        """End the process, whether or not it was done."""
        self._process.kill()
        self._process.wait()
        self._file.close()


@contextlib.contextmanager
def hashes_of(root: Path | str, cache: Path | None) -> Iterator[Hashes]:
    """The hashes of a catalog's files, opened before it is scanned: those of a large folder are looked up beside.

    cache: the folder that has them, as for `Hashes.open`.
    """
    with contextlib.ExitStack() as stack:
        beside: Callable[[], dict[str, str]] = dict
        with contextlib.suppress(OSError):  # no cache yet, or no other process can be started
            if cache and (cache / FILE).stat().st_size >= _WORTH_IT and Path(root).is_dir():
                beside = stack.enter_context(contextlib.closing(KnownHashes(str(root), cache))).found
        yield stack.enter_context(Hashes.open(cache, beside))


def main() -> None:
    """Write the hash and the id of each file whose hash is known, a line each. Arguments: the folder, the cache."""
    root, cache = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    start = joined(str(root), "")
    with Hashes.open(cache) as kept:
        for some in parts(folder.plain_ids(root)):
            known = kept.known([ItemFile(key, start + key, None) for key in some if "\n" not in key])
            sys.stdout.buffer.write("".join(f"{sha256} {key}\n" for key, sha256 in known.items()).encode())

"""The `.vdistill/` folder: its files, its locks, and how files in it are published whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vdistill.errors import VdistillError

FOLDER = ".vdistill"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder through which the stages pass their results."""

    root: Path

    @property
    def database(self) -> Path:
        """Judgments, which were paid for, and settings."""
        return self.root / "vdistill.db"

    @property
    def student(self) -> Path:
        """The PEFT adapter folder, with `student.json`."""
        return self.root / "student"

    @property
    def index(self) -> Path:
        """The bundle that `query` reads: vectors, items, exported encoders, manifest."""
        return self.root / "index"

    @property
    def cache(self) -> Path:
        """May be deleted at any time."""
        return self.root / "cache"

    @property
    def reports(self) -> Path:
        """Pages and figures written by `bench` and `distill`."""
        return self.root / "reports"

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the writer's lock `name`; the operating system frees it when the process dies.

        Raises VdistillError at once when another process holds it.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / f"{name}.lock", timeout=0)
        with writing(self.root):
            try:
                lock.acquire()
            except Timeout:
                raise VdistillError(
                    f"another `vdistill {name}` is already running in {self.root}", hint="wait for it, or stop it first"
                ) from None
        try:
            yield
        finally:
            lock.release()


def find(start: Path) -> Workspace | None:
    """The workspace of `start` or of its nearest parent that has one."""
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return _recovered(Workspace(folder / FOLDER))
    return None


def at(root: Path) -> Workspace | None:
    """The workspace in the folder `root`, if it is there."""
    return _recovered(Workspace(root)) if root.is_dir() else None


def create(root: Path) -> Workspace:
    """Make the workspace folder `root` (kept out of version control by its own `.gitignore`)."""
    workspace = Workspace(root)
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        if not (root / ".gitignore").exists():
            (root / ".gitignore").write_text("*\n", encoding="utf-8")
    return workspace


class HasText(Protocol):
    """What a text can be read from: a path, or a part of a pack."""

    def read_text(self, encoding: str) -> str:
        """The text."""
        ...


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn the refusals of the operating system, as they are or as SQLite and safetensors word them, into one line."""
    try:
        yield
    except Exception as error:
        from safetensors import SafetensorError  # here, because few processes write tensors

        refused = isinstance(error, sqlite3.OperationalError | SafetensorError)
        if not refused and getattr(error, "errno", None) is None:  # a hub client's timeout is an OSError too
            raise
        raise VdistillError(
            f"cannot write {target}: {getattr(error, 'strerror', None) or error}",
            hint="check the permissions and the free space; what was written before is intact",
        ) from error


def write_file(path: Path, content: bytes | str) -> None:
    """Replace `path` as a whole: readers see the old content or the new, never a part."""
    # Paths may hold bytes that are not UTF-8.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    with writing(path), replacing(path) as aside:
        aside.write_bytes(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it is synced and takes the place of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield aside
        _sync(aside)
        aside.replace(path)
        _sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a new folder beside `path` to fill; on success it takes the place of `path`.

    A folder cannot be replaced in one step everywhere, so the old one is first moved to `.NAME.old`; a crash between
    the two renames is repaired when the workspace is next opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    old = _old(path)
    try:
        with writing(path):
            aside.mkdir()
        yield aside
        with writing(path):
            for file in aside.rglob("*"):
                _sync(file)
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
                path.rename(old)
            aside.rename(path)
            _sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read_json(path: HasText, what: str, hint: str) -> Any:
    """The JSON document in `path`; damage raises VdistillError naming `what` with `hint`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VdistillError(f"{what} is damaged: cannot read {path} ({error})", hint=hint) from error


def _recovered(workspace: Workspace) -> Workspace:
    old = _old(workspace.student)
    if old.is_dir() and not workspace.student.exists():
        with contextlib.suppress(OSError):
            old.rename(workspace.student)
    return workspace


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

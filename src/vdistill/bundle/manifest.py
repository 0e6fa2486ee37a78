"""`manifest.json`: the files of an index and what they were made from. Replacing it is what publishes an index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vdistill.bundle import pack
from vdistill.bundle.pack import PackedPath, Place
from vdistill.errors import VdistillError
from vdistill.images.hashes import edges_sha256, file_sha256
from vdistill.images.version import DECODER_VERSION
from vdistill.workspace import read_json, write_file

SCHEMA_VERSION = 4
READABLE = (2, 3, 4)  # in version 2 no file has lists, and before 4 nothing is known of fit
NAME = "manifest.json"
REMEDY = "run `vdistill index` to rebuild it; judgments and student are not affected"

# Larger files are checked by size and by their first and last bytes when they are opened, in full by each build.
_SMALL = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of the index: its name relative to the index folder, its size in bytes, and its hashes."""

    name: str
    bytes: int
    sha256: str
    edges_sha256: str

    @classmethod
    def measure(cls, folder: Path, name: str) -> FileFacts:
        """Measure `folder / name`."""
        path = folder / name
        return cls(name, path.stat().st_size, file_sha256(path), edges_sha256(path))

    def check(self, folder: Place, full: bool = False) -> Place:
        """The file's place. Raises VdistillError where it is not what was written; `full` reads large files whole."""
        path = folder / self.name
        try:
            actual = path.stat().st_size
            if actual != self.bytes:
                raise VdistillError(
                    f"{path} is damaged: {actual} bytes, the manifest says {self.bytes}", hint=remedy(folder)
                )
            whole = full or self.bytes <= _SMALL
            same = file_sha256(path) == self.sha256 if whole else edges_sha256(path) == self.edges_sha256
        except OSError as error:
            raise VdistillError(f"the index is damaged: {path}: {error.strerror}", hint=remedy(folder)) from error
        if not same:
            raise VdistillError(f"{path} is damaged: its content is not what was written", hint=remedy(folder))
        return path


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """A file of `count` vectors.

    graph: whether it is searched through a graph, as older versions wrote it.  lists: beside vectors in lists, the
    table of these.  precise: beside i8, the vectors in a higher precision.
    """

    vectors: FileFacts
    count: int
    graph: bool
    precise: FileFacts | None
    lists: FileFacts | None = None

    @property
    def flat(self) -> bool:
        """Whether it is always searched in full."""
        return not self.graph and self.lists is None

    @property
    def files(self) -> tuple[FileFacts, ...]:
        """All files of it."""
        return (self.vectors, *(file for file in (self.precise, self.lists) if file))


@dataclass(frozen=True, slots=True)
class Entry:
    """The index of one model.

    count: number of items; shards may hold more vectors.  next_key: the lowest key that was never used.
    catalog: the folder that item ids are relative to.  created: UNIX time in seconds.
    fit: of the student, as `FitModel.to_json`; None where nothing is known of it.
    decoder: the version of how image files are decoded, 0 where an older vdistill did not record it.
    """

    generation: int
    made_from: str
    model_fingerprint: str
    text_fingerprint: str
    preprocessing: str
    dim: int
    dtype: str
    metric: str
    catalog: str
    created: float
    count: int
    next_key: int
    shards: tuple[ShardFacts, ...] = ()
    items: FileFacts = FileFacts("", 0, "", "")
    text_encoder: tuple[FileFacts, ...] = ()
    image_encoder: tuple[FileFacts, ...] = ()
    seed: int = 0
    decoder: int = 0
    fit: Mapping[str, Any] | None = None

    @property
    def files(self) -> tuple[FileFacts, ...]:
        """All files of the index."""
        vectors = [file for shard in self.shards for file in shard.files]
        return (*vectors, self.items, *self.text_encoder, *self.image_encoder)


def remedy(place: Place) -> str:
    """What helps where a file of this index is damaged."""
    return pack.REMEDY if isinstance(place, PackedPath) else REMEDY


def read(folder: Place) -> dict[str, Entry]:
    """The entries by model name; none where there is no index, or one of an older format, which has to be rebuilt.

    Raises VdistillError where the manifest is damaged or of a newer version.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    document = read_json(path, "the index", remedy(folder))
    try:
        if document["schema_version"] > SCHEMA_VERSION:
            raise VdistillError(f"{path} was made by a newer vdistill", hint="upgrade: pip install --upgrade vdistill")
        if document["schema_version"] not in READABLE:
            return {}
        return {name: _entry(facts) for name, facts in document["models"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise VdistillError(f"the index is damaged: {path} lacks {error}", hint=remedy(folder)) from error


def made_before(folder: Path, model: str) -> bool:
    """Whether an older version decoded the images of this index differently; a damaged index counts as none."""
    try:
        entry = read(folder).get(model)
    except VdistillError:
        return False
    return entry is not None and entry.decoder != DECODER_VERSION


def made_from(folder: Path, model: str) -> str | None:
    """What the index of `model` was made from, or None where there is none.

    Raises VdistillError where the manifest is damaged.
    """
    entry = read(folder).get(model)
    return entry.made_from if entry else None


def write(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Replace the manifest: before this readers open the old entries, after it these."""
    write_file(folder / NAME, text(entries))


def text(entries: Mapping[str, Entry]) -> str:
    """The manifest of these."""
    models = {name: asdict(entry) for name, entry in entries.items()}
    for facts in models.values():
        if facts["fit"] is None:
            del facts["fit"]
    # Where nothing is known of fit, an older vdistill can read it too.
    version = SCHEMA_VERSION if any("fit" in facts for facts in models.values()) else SCHEMA_VERSION - 1
    document = {"schema_version": version, "models": models}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def sweep(folder: Path, entries: Iterable[Entry]) -> None:
    """Remove files that no entry names: old generations, and what a killed build left behind."""
    needed = {folder / NAME} | {folder / file.name for entry in entries for file in entry.files}
    for path in sorted(folder.rglob("*"), reverse=True):  # files before the folders they lie in
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in needed:
            path.unlink(missing_ok=True)


def _entry(facts: dict[str, Any]) -> Entry:
    many = {name: tuple(FileFacts(**file) for file in facts[name]) for name in ("text_encoder", "image_encoder")}
    shards = tuple(shard_facts(one) for one in facts["shards"])
    return Entry(**{**facts, **many, "shards": shards, "items": FileFacts(**facts["items"])})


def shard_facts(facts: dict[str, Any]) -> ShardFacts:
    """From JSON. Raises KeyError and TypeError for another document."""
    precise = FileFacts(**facts["precise"]) if facts["precise"] else None
    lists = FileFacts(**facts["lists"]) if facts.get("lists") else None
    return ShardFacts(FileFacts(**facts["vectors"]), facts["count"], facts["graph"], precise, lists)

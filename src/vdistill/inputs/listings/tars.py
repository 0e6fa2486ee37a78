"""The members of a tar, by the WebDataset convention: what shares a name up to its first dot describes one sample."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from vdistill.inputs.lines import well_formed, whole
from vdistill.inputs.listings.listed import METADATA_FILES, MetadataFile, Skipped
from vdistill.inputs.listings.shard import Member, Shard, ShardFound, compressed, opened
from vdistill.inputs.listings.tree import CLUTTER
from vdistill.inputs.plain_values import plain
from vdistill.sources.remote import as_oserror
from vdistill.sources.suffixes import IMAGE_SUFFIXES

TEXTS = {".json": "json", ".txt": "text", ".cls": "cls"}  # members that describe a sample, and their columns
_MOST = 1 << 20  # bytes of such a member
_BLOCK = 4 << 20  # bytes: headers are far apart, and all between them is read from a tar that is elsewhere
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


def members(shard: Shard) -> Iterator[ShardFound]:
    """The images of a tar with what describes them; headers are read, images are not.

    Raises VdistillError where it is compressed, or cannot be read now.
    """
    try:
        with opened(shard, _BLOCK) as file:
            start = file.read(512)
            if start.startswith(_PACKED):
                raise compressed(shard)
            if not start.strip(b"\0"):
                reason = "an empty file" if not start else "an empty tar"
                yield Skipped(shard.name, reason)
                return
            yield from _Reading(shard, file).found()
    except tarfile.TarError as error:
        yield Skipped(shard.name, f"not a tar that can be read: {error}")


class _Reading:
    """One walk through the headers of a tar."""

    def __init__(self, shard: Shard, file: BinaryIO) -> None:
        self._shard, self._file = shard, file
        self._size = file.seek(0, 2)
        self._sample = ""
        self._images: list[tuple[str, str]] = []  # of the present sample: names and locators
        self._texts: dict[str, Any] = {}
        self._alone = 0  # samples without an image
        self._first_alone = ""

    def found(self) -> Iterator[ShardFound]:
        self._file.seek(0)
        cut = ""
        with tarfile.open(fileobj=self._file, mode="r:", errorlevel=0) as tar:
            while isinstance(member := as_oserror(lambda: _following(tar), self._shard.file), tarfile.TarInfo):
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps all
                if member.offset_data + member.size > self._size:
                    cut = f"cut short within {well_formed(member.name)}"
                    break
                yield from self._member(tar, member)
            cut = cut or ("cut short" if member else self._unfinished(tar))
        yield from self._finished()
        if self._alone:
            yield Skipped(self._shard.name, f"samples without an image: {self._alone:,}, e.g. {self._first_alone}")
        if cut:
            yield Skipped(self._shard.name, f"{cut}: what comes before is used")

    def _unfinished(self, tar: tarfile.TarFile) -> str:
        """What is wrong with the end of the tar, which is a block of zeros."""
        self._file.seek(tar.offset)
        block = self._file.read(512)
        if len(block) < 512:
            return "cut short"
        return "damaged in the middle" if block.strip(b"\0") else ""

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[ShardFound]:
        name = _plain_name(member.name)
        if member.isdir() or _is_clutter(name):
            return
        base = name.rpartition("/")[2]
        key, suffix = name[: len(name) - len(base)] + base.partition(".")[0], Path(base).suffix.lower()
        if key != self._sample:
            yield from self._finished()
            self._sample = key
        if base in METADATA_FILES and member.isreg():
            yield MetadataFile(name, self._locator(member))
        elif suffix in IMAGE_SUFFIXES:
            yield from self._image(name, member)
        elif suffix in TEXTS and member.isreg() and (problem := self._text(tar, member, name, TEXTS[suffix])):
            yield problem

    def _image(self, name: str, member: tarfile.TarInfo) -> Iterator[Skipped]:
        if not member.isreg() or member.issparse():
            yield Skipped(well_formed(name), "a link, or no regular file, in a tar")
        elif well_formed(name) != name:
            yield Skipped(well_formed(name), "file name is not valid UTF-8")
        elif ".." in name.split("/"):
            yield Skipped(name, "its name leads out of the catalog")
        else:
            self._images.append((name, self._locator(member)))

    def _text(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, column: str) -> Skipped | None:
        """Read what describes the sample; a problem with it."""
        if member.size > _MOST:
            return Skipped(well_formed(name), "more than 1 MiB of metadata, left out")
        file = tar.extractfile(member)
        data = file.read() if file else b""
        try:
            text = data.decode("utf-8-sig").strip()
            value = _number_or_text(text) if column == "cls" else whole(json.loads(text)) if column == "json" else text
        except ValueError as error:
            return Skipped(well_formed(name), f"metadata that cannot be read, left out: {error}")
        value = plain(value)
        self._texts.update(value if isinstance(value, dict) else {column: value})
        self._texts.setdefault("", name)
        return None

    def _finished(self) -> Iterator[Member]:
        """The images of the sample that is complete."""
        first = self._texts.pop("", None)
        if self._texts and not self._images and first:
            self._alone, self._first_alone = self._alone + 1, self._first_alone or well_formed(first)
        for name, locator in self._images:
            yield Member(name, f"{self._shard.name}/{name}", locator, self._texts)
        self._images, self._texts = [], {}

    def _locator(self, member: tarfile.TarInfo) -> str:
        return f"tar:{member.offset_data}+{member.size}:{self._shard.file}"


def _following(tar: tarfile.TarFile) -> tarfile.TarInfo | tarfile.TarError | None:
    """The next member; the error of a tar is no trouble of the network, after which it would be asked for again."""
    try:
        return tar.next()
    except tarfile.TarError as error:
        return error


def _plain_name(name: str) -> str:
    """Without "./", empty parts, and a slash in front."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _is_clutter(name: str) -> bool:
    return any((part.startswith(".") and part != "..") or part.lower() in CLUTTER for part in name.split("/"))


def _number_or_text(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdecimal() else text

"""Repairs files with complete pixels that Pillow refuses because of something else in them.

Pillow's own switch for such files applies to the whole process, and accepts images of which half is missing.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from collections.abc import Iterator

from PIL import Image

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_END = b"\xff\xd9"

# The chunks that colours depend on; text, thumbnails, frames of an animation and private chunks are dropped.
_CRITICAL, _COLOURS = (b"IHDR", b"PLTE", b"IDAT", b"IEND"), (b"tRNS", b"iCCP", b"eXIf")
_MAX_PROFILE = 1024**2  # bytes; Pillow refuses larger ones

_MARKER, _RESTART = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL), re.compile(rb"\xff([\xd0-\xd7])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
_SCAN, _STOP, _FIRST_RESTART = 0xDA, 0xD9, 0xD0
_PADDING = (bytes(64), b"\xb6" * 64)  # two different continuations of an image


def repaired(data: bytes) -> bytes | None:
    """A file with the same pixels that Pillow may read; None where pixels are missing, or it is of another format."""
    try:
        if data.startswith(_PNG):
            return _without_side_chunks(data)
        return _with_end(data) if data.startswith(_JPEG) else None
    except Exception:  # it is really damaged, and the first reason is the one to report
        return None


def _without_side_chunks(data: bytes) -> bytes:
    """A PNG of its pixels and the sound chunks that their colours depend on."""
    return _PNG + b"".join(chunk for kind, chunk, sound in _chunks(data) if _needed(kind, chunk, sound))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name, bytes and whether the checksum is right, of each chunk."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        chunk = data[at:end]
        yield chunk[4:8], chunk, zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        at = end


def _needed(kind: bytes, chunk: bytes, sound: bool) -> bool:
    if kind == b"iCCP" and sound:
        packed = chunk[8:-4].split(b"\0", 1)[1][1:]
        profile = zlib.decompressobj()
        profile.decompress(packed, _MAX_PROFILE - 1)
        return profile.eof
    return kind in _CRITICAL or (kind in _COLOURS and sound)


def _with_end(data: bytes) -> bytes | None:
    """A JPEG that lacks only its end marker, with one.

    It is complete where its scans contain every bit of every coefficient, and the last one does not read on: whatever
    follows it, the image stays the same.
    """
    if not _all_scans(data):
        return None
    data = data.rstrip(b"\xff")
    last = data.rfind(bytes((0xFF, _SCAN)))
    restarts = _RESTART.findall(data, last)
    follows = (restarts[-1][0] - _FIRST_RESTART + 1) % 8 if restarts else 0
    restart = bytes((0xFF, _FIRST_RESTART + follows))
    endings = [*_PADDING, *(restart + padding for padding in _PADDING)]
    return data + _END if len({_pixels(data + ending + _END) for ending in endings}) == 1 else None


def _all_scans(data: bytes) -> bool:
    """Whether there are scans for each of the 64 coefficients of each component, down to the last bit."""
    components: set[int] = set()
    lowest: dict[tuple[int, int], int] = {}
    sequential, at = False, len(_JPEG)
    while (found := _MARKER.search(data, at)) and found[1][0] != _STOP:
        kind, start = found[1][0], found.end()
        at = start + int.from_bytes(data[start : start + 2], "big")
        body = data[start + 2 : at]
        if kind in _FRAMES:
            sequential = kind in _SEQUENTIAL
            components = {body[6 + 3 * place] for place in range(body[5])}
        elif kind == _SCAN:
            count = body[0]
            first, last, bits = (0, 63, 0) if sequential else body[1 + 2 * count : 4 + 2 * count]
            for component in body[1 : 1 + 2 * count : 2]:
                lowest.update({(component, place): bits & 15 for place in range(first, last + 1)})
    return bool(components) and all(lowest.get((one, place)) == 0 for one in components for place in range(64))


def _pixels(data: bytes) -> bytes:
    """A hash of the decoded pixels."""
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return hashlib.sha256(image.tobytes()).digest()

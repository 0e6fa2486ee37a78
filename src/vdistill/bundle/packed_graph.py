"""An ONNX graph in a pack: it is told to find its weights in the pack itself, where ONNX Runtime maps them.

A graph names a file, an offset and a length for each of its weights. Here the file becomes the pack, and the offset
moves on by where the weights' file begins in it; then they take the memory and the time that they take in a folder. To
give ONNX Runtime the mapped bytes instead would cost their size once more. Only these few bytes of the graph's Protocol
Buffers are written anew: `onnx` is not needed for searching.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from vdistill.bundle.pack import PackedPath

_EXTERNAL_DATA = (7, 5, 13)  # ModelProto.graph, GraphProto.initializer, TensorProto.external_data
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_SIZES = {1: 8, 5: 4}  # bytes of a field of these wire types
_LENGTH = 2  # the wire type of bytes and messages


class _Field(NamedTuple):
    """number, wire: what field it is.  raw: all its bytes.  content: of a message or a text."""

    number: int
    wire: int
    raw: bytes
    content: bytes


def graph_in_pack(model: PackedPath) -> bytes:
    """The graph, for a session whose folder of weights is that of the pack. Raises ValueError for another file."""
    name = os.fsencode(model.pack.path.resolve().name)
    data = model.read_bytes()
    starts = {
        one.rpartition("/")[2].encode(): start
        for one, (start, _) in model.pack.parts.items()
        if one.rpartition("/")[0] == model.parent.name
    }

    def moved(tensor: bytes) -> bytes:
        """A tensor whose weights are elsewhere; with all of its entries, since the offset depends on the file."""
        entries = dict(_entry(field.content) for field in _fields(tensor) if field.number == _EXTERNAL_DATA[2])
        if not entries:
            return tensor
        start = starts.get(entries[b"location"])
        if start is None:
            raise ValueError("its weights are not in the pack")
        entries |= {b"location": name, b"offset": str(int(entries.get(b"offset", b"0")) + start).encode()}
        kept = b"".join(field.raw for field in _fields(tensor) if field.number != _EXTERNAL_DATA[2])
        written = [_text(_KEY, key) + _text(_VALUE, value) for key, value in entries.items()]
        return kept + b"".join(_text(_EXTERNAL_DATA[2], one) for one in written)

    graph, initializer, _ = _EXTERNAL_DATA
    return _changed(data, graph, lambda found: _changed(found, initializer, moved))


def _changed(message: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """A message with the contents of all fields of this number changed."""
    return b"".join(
        _text(number, change(field.content)) if (field.number, field.wire) == (number, _LENGTH) else field.raw
        for field in _fields(message)
    )


def _entry(message: bytes) -> tuple[bytes, bytes]:
    found = {field.number: field.content for field in _fields(message)}
    return found.get(_KEY, b""), found.get(_VALUE, b"")


def _fields(message: bytes) -> Iterator[_Field]:
    """The fields of a message, in order. Raises ValueError for what is none."""
    at = 0
    while at < len(message):
        key, after = _varint(message, at)
        number, wire, start = key >> 3, key & 7, after
        if wire == 0:
            end = _varint(message, after)[1]
        elif wire == _LENGTH:
            length, start = _varint(message, after)
            end = start + length
        elif wire in _SIZES:
            end = after + _SIZES[wire]
        else:
            raise ValueError("it is no graph")
        if end > len(message):
            raise ValueError("it is no graph")
        yield _Field(number, wire, message[at:end], message[start:end])
        at = end


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("it is no graph")


def _text(number: int, content: bytes) -> bytes:
    """A field of bytes or a message."""
    return _number(number << 3 | _LENGTH) + _number(len(content)) + content


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])

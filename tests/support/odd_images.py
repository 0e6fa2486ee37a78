"""Image files that no library writes so: PNG chunk by chunk, TIFF tag by tag, and ICC profiles."""

import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))  # primaries as XYZ under D50
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def scene(size=(120, 80)):
    """Something that looks different from each side, in different colours."""
    image = Image.new("RGB", size, (230, 225, 200))
    draw = ImageDraw.Draw(image)
    draw.rectangle((5, 5, 60, 26), fill=(180, 60, 60))
    draw.ellipse((60, 40, 115, 75), fill=(60, 80, 160))
    draw.polygon([(10, 70), (40, 70), (25, 40)], fill=(60, 140, 70))
    return image


def linear(image):
    """The same scene as a linear profile would have it stored."""
    x = np.asarray(image, float) / 255
    return Image.fromarray(np.rint(255 * np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)).astype("u1"))


def chunk(kind, data, sound=True):
    """A chunk of a PNG; not `sound`: with a wrong checksum."""
    checksum = zlib.crc32(kind + data) ^ (not sound)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(values, depth, colour, *side_chunks, last=()):
    """A PNG of rows (height, …) of big-endian or packed values; chunks before and after the pixels."""
    rows = b"".join(b"\0" + np.ascontiguousarray(row).tobytes() for row in values)
    bits = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * depth
    width = values[0].nbytes * 8 // bits
    return b"".join([
        b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(values), depth, colour, 0, 0, 0)),
        *side_chunks, chunk(b"IDAT", zlib.compress(rows)), *last, chunk(b"IEND", b""),
    ])  # fmt: skip


def tiff(values, photometric, bits=16, kind=1):
    """An uncompressed little-endian TIFF of one channel. kind: 1 unsigned, 2 signed, 3 float."""
    height, width = values.shape
    data = values.tobytes()
    if bits == 12:
        pairs = values.reshape(-1, 2).astype("u4")
        data = b"".join(((a << 12) | b).item().to_bytes(3, "big") for a, b in pairs)
    tags = [
        *((256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8)),
        *((277, 3, 1), (278, 3, height), (279, 4, len(data)), (339, 3, kind)),
    ]
    directory = b"".join(struct.pack("<HHII", tag, form, 1, value) for tag, form, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + directory + bytes(4)


def profile(name, gamma=2.2, space=b"RGB ", primaries=SRGB):
    """A display or grey profile of the second ICC version: its name, the power of its curve, its primaries."""

    def number(value):
        return struct.pack(">i", round(value * 65536))

    def xyz(values):
        return b"XYZ " + bytes(4) + b"".join(map(number, values))

    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
    }
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {name + b"XYZ": xyz(values) for name, values in zip((b"r", b"g", b"b"), primaries, strict=True)}
        tags |= {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    table, data = b"", b""
    for tag, body in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = struct.pack(">I4sI4s4s4s12s4s28s", 132 + len(table) + len(data), b"", 0x02400000, b"mntr", space, b"XYZ ",
                       b"", b"acsp", b"") + xyz((0.9642, 1.0, 0.8249))[8:]  # fmt: skip
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data

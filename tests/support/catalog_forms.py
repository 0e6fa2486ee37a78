"""One catalog in each of the forms that a catalog may have: a folder, tars, Parquet files."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw


def pictures(count):
    """PNG images by name."""
    found = {}
    for number in range(count):
        image = Image.new("RGB", (36, 32), (number * 37 % 256, number * 91 % 256, number % 256))
        ImageDraw.Draw(image).text((2, 2), str(number), fill="white")
        data = io.BytesIO()
        image.save(data, "PNG")
        found[f"shelf{number % 3}/img{number:04}.png"] = data.getvalue()
    return found


def rows_of(images):
    """Something to say about each."""
    return {name: {"title": f"thing {number}", "price": number} for number, name in enumerate(sorted(images))}


def as_folder(folder, images, rows=None):
    for name, data in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if rows:
        lines = [json.dumps({"file_name": name, **row}) for name, row in rows.items()]
        (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def as_tar(path, members):
    """A tar of these members, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return path


def as_tars(folder, images, rows=None, shards=3):
    """WebDataset's way: a member of JSON beside each image."""
    names = sorted(images)
    for shard in range(shards):
        members = []
        for name in names[shard::shards]:
            members.append((name, images[name]))
            if rows:
                members.append((f"{Path(name).with_suffix('').as_posix()}.json", json.dumps(rows[name]).encode()))
        as_tar(folder / f"{shard:03}.tar", members)
    return folder


def as_parquet(folder, images, rows=None, shards=2, group=50):
    """Hugging Face's way: a struct of bytes and path."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(images)
    for shard in range(shards):
        mine = names[shard::shards]
        columns = {"image": [{"bytes": images[name], "path": name} for name in mine]}
        for column in next(iter(rows.values())) if rows else ():
            columns[column] = [rows[name][column] for name in mine]
        pq.write_table(pa.table(columns), folder / f"train-{shard}.parquet", row_group_size=group)
    return folder


FORMS = {"folder": as_folder, "tars": as_tars, "parquet": as_parquet}


def files_of(folder):
    """The bytes of all files below, by their paths there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

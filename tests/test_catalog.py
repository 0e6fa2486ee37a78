"""A folder becomes items; what cannot be used is named with its reason."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vdistill.catalog import scan
from vdistill.errors import VdistillError


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.png", "garden/c.webp"):
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(path)
    return tmp_path / "shop"


def test_ids_are_posix_paths_relative_to_the_catalog_in_order(shop):
    assert [item.id for item in scan(shop).items] == ["a.png", "b.jpg", "garden/c.webp"]


def test_metadata_of_every_format_reaches_its_item(shop):
    (shop / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "title": "A", "price": 3.5}) + "\n")
    pq.write_table(pa.table({"file_name": ["c.webp"], "title": ["C"]}), shop / "garden" / "metadata.parquet")
    items = {item.id: item for item in scan(shop).items}
    assert items["a.png"].metadata == {"title": "A", "price": 3.5}
    assert items["garden/c.webp"].title == "C"
    assert items["b.jpg"].title is None


def test_what_is_no_number_becomes_null(shop):
    (shop / "metadata.jsonl").write_text('{"file_name": "a.png", "price": NaN, "sizes": [1, Infinity]}\n')
    item = next(item for item in scan(shop).items if item.id == "a.png")
    assert item.metadata == {"price": None, "sizes": [1, None]}


def test_csv_metadata(shop):
    (shop / "metadata.csv").write_text('file_name,title\na.png,"red, round"\n')
    assert next(item for item in scan(shop).items if item.id == "a.png").title == "red, round"


def test_a_broken_metadata_line_is_named_by_its_number(shop):
    (shop / "metadata.jsonl").write_text('{"file_name": "a.png"}\n{"file_name": "b.jpg", \n')
    with pytest.raises(VdistillError, match=r"metadata\.jsonl, line 2: not JSON"):
        scan(shop)


def test_metadata_without_file_name_is_named_by_its_line(shop):
    (shop / "metadata.jsonl").write_text('{"file_name": "a.png"}\n\n{"title": "lost"}\n')
    with pytest.raises(VdistillError, match=r"line 3: no 'file_name'"):
        scan(shop)


def test_a_csv_row_with_too_many_values_is_named_by_its_line(shop):
    (shop / "metadata.csv").write_text("file_name,title\na.png,red, round\n")
    with pytest.raises(VdistillError, match=r"metadata\.csv, line 2: 3 values, the header names 2"):
        scan(shop)


def test_metadata_naming_absent_files_is_skipped_with_its_line(shop):
    (shop / "metadata.jsonl").write_text('{"file_name": "gone.jpg", "title": "x"}\n')
    (skipped,) = scan(shop).skipped
    assert (skipped.id, skipped.reason) == ("gone.jpg", "named in metadata.jsonl, line 1, but absent")


def test_metadata_cannot_name_files_outside_the_catalog(shop):
    Image.new("RGB", (8, 8)).save(shop.parent / "outside.png")
    (shop / "metadata.jsonl").write_text('{"file_name": "../outside.png", "title": "x"}\n')
    catalog = scan(shop)
    assert len(catalog.items) == 3
    assert catalog.skipped[0].id == "../outside.png"


def test_a_missing_catalog_names_the_close_one(shop):
    with pytest.raises(VdistillError) as caught:
        scan(shop.parent / "shopp")
    assert str(shop) in caught.value.hint


def test_an_empty_catalog_is_an_error(tmp_path):
    with pytest.raises(VdistillError, match="no pictures in"):
        scan(tmp_path)


def test_hidden_files_and_the_workspace_are_passed_over(shop):
    (shop / ".vdistill").mkdir()
    Image.new("RGB", (8, 8)).save(shop / ".vdistill" / "x.png")
    Image.new("RGB", (8, 8)).save(shop / "._a.png")
    assert len(scan(shop).items) == 3


def test_a_folder_that_links_to_itself_is_walked_once(shop):
    (shop / "loop").symlink_to(shop)
    assert len(scan(shop).items) == 3


def test_strange_names_are_items(shop):
    for name in ("with space.png", "quo'te\".png", "new\nline.png", "日本.png"):
        Image.new("RGB", (8, 8)).save(shop / name)
    assert {"with space.png", "quo'te\".png", "new\nline.png", "日本.png"} <= {item.id for item in scan(shop).items}


def test_a_name_that_is_not_utf8_is_skipped_by_name(shop):
    Path(os.fsdecode(os.fsencode(shop) + b"/caf\xe9.png")).write_bytes((shop / "a.png").read_bytes())
    (skipped,) = scan(shop).skipped
    assert skipped.reason == "file name is not valid UTF-8"

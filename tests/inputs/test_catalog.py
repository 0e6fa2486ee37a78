"""A folder becomes items; what cannot be used is named with its reason."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vdistill.errors import VdistillError
from vdistill.inputs.catalog import scan


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
    assert not catalog.imageless


def test_an_item_without_an_image_has_a_name_within_the_catalog_that_nothing_else_has(shop):
    Image.new("RGB", (8, 8)).save(shop.parent / "secret.png")
    (shop / "link.png").symlink_to(shop.parent / "secret.png")
    (shop / "broken.png").symlink_to(shop / "nowhere.png")
    (shop / "notes.txt").write_text("x")
    names = [str(shop.parent / "secret.png"), "/etc/passwd", "a/../../secret.png", "..\\secret.png", "C:/secret.png",
             "broken.png", "notes.txt", "soon.png", "soon/too.png"]  # fmt: skip
    (shop / "metadata.jsonl").write_text("".join(json.dumps({"file_name": name}) + "\n" for name in names))
    assert [item.id for item in scan(shop).imageless] == ["soon.png", "soon/too.png"]


def test_a_missing_catalog_names_the_close_one(shop):
    with pytest.raises(VdistillError) as caught:
        scan(shop.parent / "shopp")
    assert str(shop) in caught.value.hint


def test_an_empty_catalog_is_an_error(tmp_path):
    with pytest.raises(VdistillError, match="no images in"):
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


def metadata(folder, key="a.png"):
    return dict(next(item for item in scan(folder).items if item.id == key).metadata)


def test_rows_of_one_image_are_put_together_and_the_later_wins(shop):
    rows = [
        {"file_name": "a.png", "title": "mug", "price": 5},
        {"file_name": "a.png", "caption": "a mug on a table", "price": None},
        {"file_name": "garden/c.webp", "price": 7},
    ]
    (shop / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (shop / "metadata.csv").write_text("file_name,stock,title\nb.jpg,3,\na.png,9,cup\n")
    (shop / "garden" / "metadata.jsonl").write_text('{"file_name": "c.webp", "title": "lamp"}\n')
    assert metadata(shop) == {"title": "mug", "price": 5, "caption": "a mug on a table", "stock": "9"}
    assert metadata(shop, "garden/c.webp") == {"title": "lamp", "price": 7}
    remarks = scan(shop).remarks
    assert any("3 rows for an image that has one already" in line for line in remarks), remarks
    assert any("1 value of metadata overridden by a later row (title of a.png, metadata.jsonl" in r for r in remarks), (
        remarks
    )


def test_names_that_the_disk_spells_otherwise_are_matched_where_one_image_is_meant(shop):
    for name in ("cafe\u0301.png", "IMG_1.PNG", "Same.png", "same.png"):
        Image.new("RGB", (8, 8)).save(shop / name)
    names = ["caf\u00e9.png", "garden\\c.webp", "img_1.png", str(shop / "b.jpg"), " a.png", "SAME.png"]
    (shop / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": name, "title": "t"}) + "\n" for name in names)
    )
    catalog = scan(shop)
    titled = {item.id for item in catalog.items if item.title}
    assert titled == {"cafe\u0301.png", "garden/c.webp", "IMG_1.PNG", "b.jpg", "a.png"}
    assert any(line.startswith("5 file names of metadata spelled differently") for line in catalog.remarks)
    assert any("may mean several images" in line and "SAME.png" in line for line in catalog.remarks)


def test_the_exact_name_goes_before_any_other(shop):
    Image.new("RGB", (8, 8)).save(shop / "A.png")
    (shop / "metadata.jsonl").write_text(
        '{"file_name": "A.png", "title": "large"}\n{"file_name": "a.png", "title": "small"}\n'
    )
    assert (metadata(shop)["title"], metadata(shop, "A.png")["title"]) == ("small", "large")


def test_absent_images_are_one_line_with_the_reason(shop):
    (shop / "metadata.jsonl").write_text("".join(f'{{"file_name": "gone{n}.jpg"}}\n' for n in range(9)))
    catalog = scan(shop)
    assert catalog.told(catalog.skipped) == [
        "9 rows of metadata name images that are absent (the first: gone0.jpg, metadata.jsonl, line 1)"
    ]
    assert len(catalog.skipped) == 9


def test_a_folder_goes_by_its_real_name_not_by_a_link_that_sorts_before_it(shop):
    (shop / "current").symlink_to("garden")
    (shop / "outside").symlink_to(shop.parent / "other")
    (shop.parent / "other").mkdir()
    Image.new("RGB", (8, 8)).save(shop.parent / "other" / "d.png")
    assert [item.id for item in scan(shop).items] == ["a.png", "b.jpg", "garden/c.webp", "outside/d.png"]


def test_a_csv_header_with_spaces_and_an_index_column(shop):
    (shop / "metadata.csv").write_text(",file_name, title\n0,a.png, lamp\n")
    assert metadata(shop) == {"title": "lamp"}


def test_an_empty_cell_is_null(shop):
    (shop / "metadata.csv").write_text("file_name,title\na.png,\n")
    assert metadata(shop) == {"title": None}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", "file_name,title,title\na.png,x,y\n"),
        ("metadata.jsonl", '{"file_name": "a.png", "t": 1, "t": 2}\n'),
    ],
)
def test_two_values_by_one_name_are_an_error(shop, name, text):
    (shop / name).write_text(text)
    with pytest.raises(VdistillError, match="twice|two columns"):
        scan(shop)


def test_parquet_keeps_decimals_as_numbers_and_leaves_bytes_out(shop):
    import datetime
    import decimal

    table = {
        "file_name": ["a.png", "b.jpg"],
        "price": [decimal.Decimal("5.00"), decimal.Decimal("12.50")],
        "thumb": [b"\x89PNG", b"\x00"],
        "day": [datetime.date(2024, 5, 1)] * 2,
    }
    pq.write_table(pa.table(table), shop / "metadata.parquet")
    assert metadata(shop) == {"price": 5, "day": "2024-05-01"}
    assert metadata(shop, "b.jpg")["price"] == 12.5
    assert [line for line in scan(shop).remarks if "bytes" in line] == [
        "bytes in column 'thumb' of metadata.parquet, left out of 2 rows (the first: metadata.parquet, line 1)"
    ]


def test_half_a_character_is_replaced_and_named_by_its_line(shop):
    (shop / "metadata.jsonl").write_text('{"file_name": "b.jpg"}\n{"file_name": "a.png", "title": "mug \\ud83d"}\n')
    assert metadata(shop) == {"title": "mug \ufffd"}
    assert any("metadata.jsonl, line 2" in line for line in scan(shop).remarks)


def test_columns_that_collide_are_said(shop):
    (shop / "metadata.jsonl").write_text('{"file_name": "a.png", "id": "x", "Colour": 1, "colour": 2}\n')
    remarks = scan(shop).remarks
    assert any("Colour and colour differ in letter case" in line for line in remarks)
    assert any("the item's id is file_name" in line for line in remarks)


def test_only_regular_files_are_images(shop):
    os.mkfifo(shop / "pipe.png")
    (shop / "zero.png").symlink_to("/dev/zero")
    (shop / "nothing.png").symlink_to("gone.png")
    os.mkfifo(shop / "garden" / "metadata.jsonl")
    catalog = scan(shop)
    assert len(catalog.items) == 3
    assert {one.id: one.reason for one in catalog.skipped} == {
        "pipe.png": "not a regular file",
        "zero.png": "not a regular file",
        "nothing.png": "a link to nothing",
        "garden/metadata.jsonl": "not a regular file",
    }


@pytest.mark.parametrize(
    "litter", ["@eaDir/a.png", "__MACOSX", ".thumbnails", "#recycle", "$RECYCLE.BIN", "lost+found"]
)
def test_what_systems_keep_beside_images_is_passed_over(shop, litter):
    (shop / litter).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(shop / litter / "SYNOPHOTO_THUMB_M.png")
    catalog = scan(shop)
    assert (len(catalog.items), catalog.skipped, catalog.remarks) == (3, (), ())

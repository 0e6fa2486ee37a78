"""Catalogs in tars and Parquet files: what their images are called, what is known of them, and what is damaged."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog_forms import FORMS, as_folder, as_tar, pictures, rows_of
from vdistill.errors import VdistillError
from vdistill.images import file_sha256, load
from vdistill.inputs.catalog import scan

IMAGES = pictures(120)
ROWS = rows_of(IMAGES)
A, B, C = [IMAGES[name] for name in sorted(IMAGES)[:3]]


def contents(catalog):
    """Hash of the image and metadata of each item, by id."""
    return {item.id: (file_sha256(item.source), dict(item.metadata)) for item in scan(catalog).items}


def problems(catalog):
    return {one.id: one.reason for one in scan(catalog).skipped}


@pytest.fixture(scope="module")
def as_files(tmp_path_factory):
    return contents(as_folder(tmp_path_factory.mktemp("shop"), IMAGES, ROWS))


@pytest.mark.parametrize("form", ["tars", "parquet"])
def test_the_same_images_have_the_same_ids_contents_and_metadata_as_in_a_folder(form, tmp_path, as_files):
    assert len(as_files) == 120
    assert contents(FORMS[form](tmp_path / "shop", IMAGES, ROWS)) == as_files
    assert contents(FORMS[form](tmp_path / "shop", IMAGES, ROWS) / "..") == as_files, "from a folder above too"


@pytest.mark.parametrize("form", ["tars", "parquet"])
def test_one_file_is_a_catalog_too(form, tmp_path, as_files):
    FORMS[form](tmp_path / "shop", IMAGES, ROWS, shards=1)
    (file,) = (tmp_path / "shop").iterdir()
    assert contents(file) == as_files
    assert scan(file).root == str(file)


def test_a_folder_with_images_is_listed_as_ever(tmp_path):
    as_folder(tmp_path, {"a.png": A})
    as_tar(tmp_path / "more.tar", [("b.png", B)])
    assert list(contents(tmp_path)) == ["a.png"]


def test_a_plain_tar_of_a_folder_has_the_ids_and_the_metadata_of_the_folder(tmp_path):
    lines = json.dumps({"file_name": "a.png", "title": "A"}).encode()
    as_tar(tmp_path / "shop.tar", [("./a.png", A), ("./sub/b.png", B), ("./metadata.jsonl", lines), ("./._a.png", C)])
    found = contents(tmp_path / "shop.tar")
    assert {key: row for key, (_, row) in found.items()} == {"a.png": {"title": "A"}, "sub/b.png": {}}


def test_members_that_describe_a_sample_become_metadata(tmp_path):
    members = [
        ("x.json", b'{"price": 3, "size": NaN}'), ("x.png", A), ("x.txt", b"a red mug\n"), ("x.cls", b"7"),
        ("y.png", B), ("y.seg.png", C), ("y.json", b'["a", "b"]'),
        ("z.json", b"{}"), ("broken.png", A), ("broken.json", b"{"),
    ]  # fmt: skip
    as_tar(tmp_path / "a.tar", members)
    found = {key: row for key, (_, row) in contents(tmp_path).items()}
    assert found == {
        "x.png": {"price": 3, "size": None, "text": "a red mug", "cls": 7},
        "y.png": {"json": ["a", "b"]}, "y.seg.png": {"json": ["a", "b"]}, "broken.png": {},
    }  # fmt: skip
    assert "metadata that cannot be read, left out" in problems(tmp_path)["broken.json"]


def test_a_name_that_several_tars_share_is_prefixed_by_theirs(tmp_path):
    as_tar(tmp_path / "a.tar", [("0.png", A), ("1.png", B), ("1.png", C)])  # in one tar the last counts
    as_tar(tmp_path / "sub" / "b.tar", [("0.png", B)])
    found = {key: sha256 for key, (sha256, _) in contents(tmp_path).items()}
    assert list(found) == ["1.png", "a.tar/0.png", "sub/b.tar/0.png"]
    assert found["1.png"] == file_sha256(as_folder(tmp_path / "x", {"c.png": C}) / "c.png")


@pytest.mark.parametrize(
    ("cut", "said"),
    [(-1024, "cut short: what comes before is used"), (512 + 100, "cut short within a.png"), (0, "an empty file"),
     (1100, "cut short")],
)  # fmt: skip
def test_of_a_tar_that_is_cut_short_the_rest_is_used(cut, said, tmp_path):
    tar = as_tar(tmp_path / "a.tar", [("a.png", A), ("b.png", B)])
    data = tar.read_bytes().rstrip(b"\0")
    end = len(data) + 512 - len(data) % 512
    tar.write_bytes(data[: end if cut == -1024 else cut])
    as_tar(tmp_path / "b.tar", [("c.png", C)])
    assert said in problems(tmp_path)["a.tar"]
    assert list(contents(tmp_path)) == (["a.png", "b.png", "c.png"] if cut == -1024 else
                                        ["a.png", "c.png"] if cut == 1100 else ["c.png"])  # fmt: skip


def test_damage_in_the_middle_of_a_tar_is_named(tmp_path):
    tar = as_tar(tmp_path / "a.tar", [("a.png", A), ("b.png", B)])
    data = bytearray(tar.read_bytes())
    second = data.index(b"b.png\0")
    data[second : second + 512] = b"x" * 512
    tar.write_bytes(data)
    assert "damaged in the middle" in problems(tmp_path)["a.tar"]
    assert list(contents(tmp_path)) == ["a.png"]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar"])
def test_a_compressed_tar_is_refused_with_a_hint(name, tmp_path):
    tar = as_tar(tmp_path / "plain.tar", [("a.png", A)])
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / name).write_bytes(gzip.compress(tar.read_bytes()))
    for catalog in (tmp_path / "shop", tmp_path / "shop" / name):
        with pytest.raises(VdistillError, match="is compressed") as raised:
            scan(catalog)
        assert "gunzip" in raised.value.hint


def test_links_and_strange_names_in_a_tar_are_named(tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    as_tar(tmp_path / "b.tar", [("bad\udcff.png", A), ("ok.png", B), ("../up.png", C)])
    assert problems(tmp_path) == {"link.png": "a link, or no regular file, in a tar",
                                  "bad\ufffd.png": "file name is not valid UTF-8",
                                  "../up.png": "its name leads out of the catalog"}  # fmt: skip
    assert "ok.png" in contents(tmp_path)


def test_a_tar_that_was_written_anew_is_not_read_at_old_places(tmp_path):
    tar = as_tar(tmp_path / "a.tar", [("a.png", A), ("b.png", B)])
    items = scan(tmp_path).items
    as_tar(tar, [("new.png", A + bytes(700)), ("a.png", A), ("b.png", B)])
    for item in items:
        with pytest.raises(OSError, match="has changed since it was listed"):
            item.source.open()


def table(folder, name="a.parquet", **columns):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / name)
    return folder


def test_parquet_ids_come_from_the_path_else_a_name_else_the_row(tmp_path):
    structs = [{"bytes": A, "path": "a.png"}, {"bytes": B, "path": None}, {"bytes": C, "path": "a.png"}]
    assert list(contents(table(tmp_path / "1", image=structs, id=[7, 8, 9]))) == ["8", "a.parquet/0000000",
                                                                                  "a.parquet/0000002"]  # fmt: skip
    assert list(contents(table(tmp_path / "2", jpg=[A, B], file_name=["x.png", "./y.png"]))) == ["x.png", "y.png"]
    assert list(contents(table(tmp_path / "3", picture=[A, B]))) == ["a.parquet/0000000", "a.parquet/0000001"]


def test_an_id_beside_a_path_is_metadata_as_in_a_folder(tmp_path):
    rows = {name: {"id": f"sku {number}", "title": "T"} for number, name in enumerate(IMAGES)}
    expected = contents(as_folder(tmp_path / "folder", IMAGES, rows))
    found = contents(FORMS["parquet"](tmp_path / "parquet", IMAGES, rows))
    assert found == expected
    assert [list(row) for _, row in found.values()] == [["id", "title"]] * 120
    structs = [{"bytes": A, "path": "a.png"}, {"bytes": B, "path": None}]
    mixed = table(tmp_path / "mixed", image=structs, id=["1", "2"])
    assert {key: row for key, (_, row) in contents(mixed).items()} == {"a.png": {"id": "1"}, "2": {}}


def test_other_columns_are_metadata_and_labels_have_their_names(tmp_path):
    features = {"label": {"names": ["mug", "lamp"], "_type": "ClassLabel"}}
    told = pa.table({"image": [A, B], "label": [1, 0], "weight": [1.5, float("nan")], "thumb": [b"x", b"y"]})
    told = told.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(told, tmp_path / "a.parquet")
    assert [row for _, row in contents(tmp_path).values()] == [{"label": "lamp", "weight": 1.5},
                                                               {"label": "mug", "weight": None}]  # fmt: skip


def test_an_image_may_be_named_where_it_lies(tmp_path):
    as_folder(tmp_path / "shop" / "images", {"a.png": A})
    (tmp_path / "shop" / "images" / "a.png").rename(tmp_path / "shop" / "images" / "a.bin")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": None, "path": "images/a.bin"}], kind)
    assert list(contents(table(tmp_path / "shop", image=rows))) == ["images/a.bin"]


def test_a_table_cannot_name_files_outside_of_its_folder(tmp_path):
    as_folder(tmp_path, {"outside.bin": A})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    paths = ["../outside.bin", str(tmp_path / "outside.bin"), "a.bin", f"file://{tmp_path}/outside.bin"]
    rows = pa.array([{"bytes": None, "path": path} for path in paths], kind)
    assert [item.id for item in scan(table(tmp_path / "shop", image=rows)).items] == ["a.bin"]
    assert set(problems(tmp_path / "shop").values()) == {"its image is named outside of the catalog"}
    named = table(tmp_path / "named", image=[{"bytes": A, "path": "../../x.png"}])
    assert list(contents(named)) == ["a.parquet/0000000"]


def test_a_row_without_an_image_and_a_signed_address_are_skipped(tmp_path):
    signed = "https://shop.example/a.jpg?X-Amz-Signature=SECRET"
    table(tmp_path / "shop", image_url=["memory://x/a.jpg", None, signed], id=["a", "b", "c"])
    found = problems(tmp_path / "shop")
    assert found["a.parquet/0000001"] == "no image in this row"
    assert "holds a signature" in found["a.parquet/0000002"]
    assert "SECRET" not in str(found)
    assert [(item.id, item.file) for item in scan(tmp_path / "shop").items] == [("a", "memory://x/a.jpg")]


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"title": ["x"]}, "has no column of images; its columns: title"),
     ({"image": [["x"]]}, "has no column of images; its columns: image"),
     ({"left": [b"x"], "right": [b"y"]}, "has several columns of images: left, right")],
)  # fmt: skip
def test_parquet_without_a_clear_column_of_images_is_an_error(columns, said, tmp_path):
    with pytest.raises(VdistillError, match=said):
        scan(table(tmp_path / "shop", **columns))


def test_a_damaged_parquet_file_is_named_and_the_others_are_used(tmp_path):
    table(tmp_path / "shop", image=[A])
    data = (tmp_path / "shop" / "a.parquet").read_bytes()
    (tmp_path / "shop" / "b.parquet").write_bytes(data[: len(data) // 2])
    (tmp_path / "shop" / "c.parquet").write_bytes(b"")
    assert list(contents(tmp_path / "shop")) == ["a.parquet/0000000"]
    assert all("not a Parquet file that can be read" in problems(tmp_path / "shop")[name] for name in
               ("b.parquet", "c.parquet"))  # fmt: skip


def test_a_cell_that_is_damaged_or_gone_is_an_error_of_reading(tmp_path):
    table(tmp_path / "shop", image=[A, None, C])
    items = scan(tmp_path / "shop").items
    assert load(items[0].source).size == (36, 32)
    with pytest.raises(OSError, match="no image in this row"):
        items[1].source.open()
    table(tmp_path / "shop", image=[B])
    with pytest.raises(OSError, match="has changed since it was listed"):
        items[2].source.open()


def test_large_row_groups_are_streamed_and_read_in_any_order(tmp_path, monkeypatch):
    from vdistill.sources import parquet_cells

    monkeypatch.setattr(parquet_cells, "_KEPT", 4000)  # a few rows
    monkeypatch.setattr(parquet_cells, "_WHOLE", 1000)
    names = sorted(IMAGES)
    table(tmp_path / "shop", image=[IMAGES[name] for name in names])
    items = list(scan(tmp_path / "shop").items)
    for place in (100, 3, 119, 50, 51, 0):
        with items[place].source.open() as file:
            assert file.read() == IMAGES[names[place]]

"""The index holds what the catalog holds, embeds nothing twice, and is whole at every moment."""

import dataclasses
import itertools
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from command_line import errors
from drawings import draw_catalog
from forked import vdistill_forked
from indexes import verify
from vdistill.bundle import manifest
from vdistill.bundle.image_encoder import ImageEncoder
from vdistill.bundle.manifest import made_from
from vdistill.bundle.shard_writer import ShardWriter
from vdistill.bundle.store import Store
from vdistill.bundle.text_encoder import TextEncoder
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.errors import VdistillError
from vdistill.index import graph_trace
from vdistill.index.build import build
from vdistill.index.onnx_export import export_image_encoder, export_text_encoder
from vdistill.index.tokenizer_export import PROBES
from vdistill.inputs.catalog import scan
from vdistill.query.search import Searcher

_trace = graph_trace.trace


@pytest.fixture(scope="session")
def _first_index(clip_encoder, tmp_path_factory):
    """An index of the untouched catalog, made once: its encoders are exported here and copied by `indexed`."""
    from vdistill.workspace import create

    home = tmp_path_factory.mktemp("first")
    (home / "catalog").mkdir()
    draw_catalog(home / "catalog")
    workspace = create(home / ".vdistill")
    build(workspace, scan(home / "catalog"), clip_encoder, "backbone", made_from="first")
    return workspace.index


@pytest.fixture
def indexed(_first_index, workspace, catalog, encoder):
    """A workspace whose index is that of `catalog`."""
    shutil.copytree(_first_index, workspace.index)
    build(workspace, scan(catalog), encoder, "backbone", made_from="first")
    encoder.seen = 0
    return workspace


def again(workspace, catalog, encoder, model="backbone", **options):
    encoder.seen = 0
    return build(workspace, scan(catalog), encoder, model, **{"made_from": "first", **options})


def vectors_by_id(workspace, model="backbone"):
    with Searcher.at(workspace.index, model) as searcher:
        return dict(zip(searcher.ids, searcher.vectors(searcher.ids), strict=True))


def direct(encoder, path):
    from vdistill.images import load

    prepare = encoder.preprocessing
    return encoder.encode_images(prepare.stack([prepare(load(path))]))[0]


# What a run reports, and does


def test_every_image_is_indexed_under_its_own_vector(indexed, catalog, encoder):
    found = vectors_by_id(indexed)
    assert sorted(found) == sorted(path.name for path in catalog.glob("*.png"))
    for name, vector in found.items():
        assert vector @ direct(encoder, catalog / name) > 0.9999


def test_the_report_has_the_keys_of_the_contract(indexed, catalog, encoder):
    report = again(indexed, catalog, encoder).to_json()
    changes = ["added", "updated", "removed", "by_text", "skipped"]
    assert list(report) == ["model", "items", *changes, "dtype", "bytes", "seconds", "fit"]
    files = [path for path in indexed.index.rglob("*") if path.is_file() and path.name != manifest.NAME]
    assert report["bytes"] == sum(path.stat().st_size for path in files)


def test_a_second_run_embeds_and_writes_nothing(indexed, catalog, encoder):
    before = {path: path.stat().st_mtime_ns for path in indexed.index.rglob("*")}
    report = again(indexed, catalog, encoder)
    assert (report.items, report.added, report.updated, report.removed, encoder.seen) == (24, 0, 0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in indexed.index.rglob("*")} == before


def test_only_what_is_new_or_changed_is_embedded(indexed, catalog, encoder):
    shutil.copy(catalog / "red_mug.png", catalog / "changed.tmp")
    Image.new("RGB", (50, 50), "purple").save(catalog / "red_mug.png")
    Image.new("RGB", (60, 40), "orange").save(catalog / "new.png")
    (catalog / "blue_pot.png").unlink()
    report = again(indexed, catalog, encoder)
    assert (report.items, report.added, report.updated, report.removed, encoder.seen) == (24, 1, 1, 1, 2)
    found = vectors_by_id(indexed)
    assert found["red_mug.png"] @ direct(encoder, catalog / "red_mug.png") > 0.9999
    assert found["red_lamp.png"] @ direct(encoder, catalog / "red_lamp.png") > 0.9999


def test_touched_files_are_recognised_by_their_content(indexed, catalog, encoder):
    for path in catalog.glob("*.png"):
        os.utime(path, (1, 1))
    assert again(indexed, catalog, encoder).updated == 0
    assert encoder.seen == 0


def test_renamed_files_keep_their_vector(indexed, catalog, encoder):
    before = vectors_by_id(indexed)["red_mug.png"]
    (catalog / "red_mug.png").rename(catalog / "cup.png")
    report = again(indexed, catalog, encoder)
    assert (report.added, report.removed, encoder.seen) == (1, 1, 0)
    np.testing.assert_array_equal(vectors_by_id(indexed)["cup.png"], before)


def test_two_files_that_swap_their_names_swap_their_vectors(indexed, catalog, encoder):
    before = vectors_by_id(indexed)
    (catalog / "red_mug.png").rename(catalog / "aside")
    (catalog / "blue_mug.png").rename(catalog / "red_mug.png")
    (catalog / "aside").rename(catalog / "blue_mug.png")
    for name in ("red_mug.png", "blue_mug.png"):
        os.utime(catalog / name)
    again(indexed, catalog, encoder)
    after = vectors_by_id(indexed)
    np.testing.assert_array_equal(after["red_mug.png"], before["blue_mug.png"])
    np.testing.assert_array_equal(after["blue_mug.png"], before["red_mug.png"])


def test_changed_metadata_is_refreshed_without_embedding(indexed, catalog, encoder):
    rows = [json.loads(line) for line in (catalog / "metadata.jsonl").read_text().splitlines()]
    rows[0]["price"] = 999
    (catalog / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = again(indexed, catalog, encoder)
    assert (report.updated, encoder.seen) == (1, 0)
    with Searcher.at(indexed.index, "backbone") as searcher:
        assert searcher.metadata([rows[0]["file_name"]])[0]["price"] == 999


def test_another_precision_embeds_again(indexed, catalog, encoder):
    assert again(indexed, catalog, encoder, dtype="f32").updated == 24
    assert encoder.seen == 24
    found = vectors_by_id(indexed)
    assert found["red_mug.png"] @ direct(encoder, catalog / "red_mug.png") > 0.999999


def test_another_image_tower_embeds_again_but_keeps_the_text_encoder(indexed, catalog, encoder, clip_folder):
    other = DualEncoder.load(str(clip_folder), device="cpu", precision="fp32")
    other.model.visual_projection.weight.mul_(-1)
    text = {path: path.stat().st_mtime_ns for path in indexed.index.glob("text_encoder/*/*")}
    report = build(indexed, scan(catalog), other, "backbone", made_from="first")
    assert report.updated == 24
    assert {path: path.stat().st_mtime_ns for path in indexed.index.glob("text_encoder/*/*")} == text
    assert len(list(indexed.index.glob("image_encoder/*"))) == 1
    assert vectors_by_id(indexed)["red_mug.png"] @ direct(encoder, catalog / "red_mug.png") < -0.999


def test_student_and_backbone_live_side_by_side_with_one_text_encoder(indexed, catalog, encoder):
    again(indexed, catalog, encoder, model="student", made_from="adapter")
    assert made_from(indexed.index, "student") == "adapter"
    assert made_from(indexed.index, "backbone") == "first"
    assert len(list(indexed.index.glob("text_encoder/*"))) == 1
    (catalog / "red_mug.png").unlink()
    again(indexed, catalog, encoder, model="student", made_from="adapter")
    assert len(vectors_by_id(indexed, "student")) == 23
    assert len(vectors_by_id(indexed, "backbone")) == 24


def test_only_the_current_generation_stays(indexed, catalog, encoder):
    (catalog / "red_mug.png").unlink()
    (indexed.index / "vectors-backbone-77.usearch").write_bytes(b"left by a build that was killed")
    again(indexed, catalog, encoder)
    assert len(list(indexed.index.glob("vectors-*.usearch"))) == 1
    assert len(list(indexed.index.glob("items-*"))) == 1


def test_equal_catalogs_give_equal_files(indexed, workspace, tmp_path, catalog, encoder):
    from vdistill.workspace import create

    other = create(tmp_path / "other")
    shutil.copytree(indexed.index, other.index)
    for place in (indexed, other):
        again(place, catalog, encoder, dtype="f16")
    names = sorted(path.name for path in indexed.index.glob("*-backbone-*"))
    for name in names:
        assert (indexed.index / name).read_bytes() == (other.index / name).read_bytes()


# Bad input


def test_broken_images_are_skipped_by_name_and_their_neighbours_keep_their_own_vectors(indexed, catalog, encoder):
    (catalog / "blue_mug.png").write_bytes(b"")
    (catalog / "green_lamp.png").write_bytes((catalog / "green_lamp.png").read_bytes()[:80])
    (catalog / "a.jpg").write_text("not a picture")
    report = again(indexed, catalog, encoder, dtype="f32")
    assert {skipped.id: skipped.reason for skipped in report.skipped}.keys() == {
        "blue_mug.png",
        "green_lamp.png",
        "a.jpg",
    }
    found = vectors_by_id(indexed)
    assert len(found) == 22
    for name, vector in found.items():
        assert vector @ direct(encoder, catalog / name) > 0.9999


def test_metadata_that_names_absent_files_is_reported(indexed, catalog, encoder):
    with (catalog / "metadata.jsonl").open("a") as file:
        file.write('{"file_name": "ghost.png"}\n')
    assert [skipped.id for skipped in again(indexed, catalog, encoder).skipped] == ["ghost.png"]


def test_a_catalog_of_broken_images_is_an_error_and_the_old_index_stays(indexed, catalog, encoder):
    before = vectors_by_id(indexed)
    for path in catalog.glob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(VdistillError, match=r"none of the images .* can be read; the first: blue_chair.png"):
        again(indexed, catalog, encoder)
    assert vectors_by_id(indexed).keys() == before.keys()


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_vectors_that_cannot_be_searched_are_never_added(tmp_path, value):
    writer = ShardWriter(tmp_path, "vectors", 4, "bf16", lists=False)
    with pytest.raises(ValueError, match="zero or not finite"):
        writer.add([0], np.full((1, 4), value, np.float32))


def test_a_model_that_gives_no_number_for_a_image_skips_that_one(indexed, catalog, encoder):
    def poisoned(inputs):
        vectors = DualEncoder.encode_images(encoder, inputs)
        vectors[0] = np.nan
        return vectors

    encoder.encode_images = poisoned
    report = again(indexed, catalog, encoder, dtype="f32")
    assert report.items == 23
    assert [one.reason for one in report.skipped] == ["the model gives no usable vector"]


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
        return
    if how == "emptied":
        data.clear()
    if how == "cut":
        del data[len(data) // 2 :]
    if how == "changed":
        data[len(data) // 3] ^= 0xFF
    if how == "garbage":
        data[:] = os.urandom(len(data))
    path.write_bytes(data)


DAMAGE = ["missing", "emptied", "cut", "changed", "garbage"]


@pytest.mark.parametrize(
    ("what", "how"),
    [
        *itertools.product(["vectors-*", "items-*"], DAMAGE),
        *[("text_encoder/*/model.onnx", "changed"), ("text_encoder/*/tokenizer.json", "missing")],
    ],
)
def test_a_damaged_file_is_an_error_with_a_remedy_that_works(indexed, catalog, encoder, what, how):
    damage(next(indexed.index.glob(what)), how)
    with pytest.raises(VdistillError) as error:
        Searcher.at(indexed.index, "backbone").encode(["red mug"])
    assert error.value.hint == manifest.REMEDY
    again(indexed, catalog, encoder)
    verify(indexed.index)
    with Searcher.at(indexed.index, "backbone") as searcher:
        assert len(searcher.search(searcher.encode(["red mug"])[0], 5)) == 5


@pytest.mark.parametrize("content", [b"", b"[]", b'{"schema_version": 2, "models": {"backbone": {}}}', b"\xff"])
def test_a_damaged_manifest_is_an_error_with_a_remedy(indexed, content):
    (indexed.index / "manifest.json").write_bytes(content)
    with pytest.raises(VdistillError) as error:
        Searcher.at(indexed.index, "backbone")
    assert error.value.hint == manifest.REMEDY


def test_a_damaged_manifest_is_built_anew(indexed, catalog, encoder):
    (indexed.index / "manifest.json").write_bytes(b"{")
    assert again(indexed, catalog, encoder).added == 24
    assert len(vectors_by_id(indexed)) == 24


def test_a_newer_index_is_not_guessed_at(indexed):
    document = json.loads((indexed.index / "manifest.json").read_text())
    (indexed.index / "manifest.json").write_text(json.dumps({**document, "schema_version": 99}))
    with pytest.raises(VdistillError, match="newer vdistill"):
        Searcher.at(indexed.index, "backbone")


def test_an_index_that_is_not_there_names_the_command(indexed, tmp_path):
    with pytest.raises(VdistillError, match="no index of the student; there is one of the backbone") as error:
        Searcher.at(indexed.index, "student")
    assert error.value.hint == "run `vdistill index --model student`"
    with pytest.raises(VdistillError, match="no index of the student"):
        Searcher.at(tmp_path / "nothing", "student")


@pytest.mark.parametrize("what", ["vectors-*", "text_encoder/*/model.onnx"])
def test_damage_in_the_middle_of_a_large_file_is_repaired_by_the_next_build(
    indexed, catalog, encoder, monkeypatch, what
):
    monkeypatch.setattr(manifest, "_SMALL", 0)
    damage(next(indexed.index.glob(what)), "changed")
    with pytest.raises(VdistillError, match="not what was written"):
        verify(indexed.index)
    again(indexed, catalog, encoder)
    verify(indexed.index)


def test_a_full_disk_leaves_the_old_index(indexed, catalog, encoder, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vdistill.bundle.items.describe", full)
    with pytest.raises(VdistillError, match="No space left on device"):
        again(indexed, catalog, encoder, dtype="f32")
    assert len(vectors_by_id(indexed)) == 24


# Readers and crashes


def test_a_reader_keeps_the_old_index_while_a_new_one_is_published(indexed, catalog, encoder):
    with Searcher.at(indexed.index, "backbone") as reader:
        vector = reader.encode(["red mug"])[0]
        before = reader.search(vector, 30)
        for path in sorted(catalog.glob("red_*.png")):
            path.unlink()
        again(indexed, catalog, encoder)
        assert reader.search(vector, 30) == before
    with Searcher.at(indexed.index, "backbone") as reader:
        assert len(reader.search(vector, 30)) == 18


def test_interrupted_in_the_middle_the_old_index_stays(indexed, catalog, encoder):
    before = vectors_by_id(indexed)

    def interrupt(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(indexed, catalog, encoder, dtype="f32", progress=interrupt)
    after = vectors_by_id(indexed)
    for name, vector in before.items():
        np.testing.assert_array_equal(after[name], vector)


def test_one_writer_at_a_time(indexed, catalog, encoder):
    with indexed.lock("index"), pytest.raises(VdistillError, match="already running"):
        again(indexed, catalog, encoder)


def test_a_store_is_never_changed_by_reading(indexed):
    path = next(indexed.index.glob("vectors-*.usearch"))
    before = path.read_bytes()
    store = Store.open(indexed.index, "backbone")
    list(store.items.rows())
    store.vectors(np.array([0, 1]))
    store.close()
    assert path.read_bytes() == before
    assert sorted(indexed.index.glob("items-*")) == [next(indexed.index.glob("items-*"))]  # no journal beside it


# Exported encoders answer as the model does


@pytest.mark.parametrize("name", ["clip", "siglip", "siglip2", "vision_text", "chinese_clip", "altclip"])
def test_exported_encoders_equal_the_model(name, request, tmp_path, capfd):
    encoder = DualEncoder.load(str(request.getfixturevalue(f"{name}_folder")), device="cpu", precision="fp32")
    capfd.readouterr()
    export_text_encoder(encoder, tmp_path / "text")
    export_image_encoder(encoder, tmp_path / "image")
    assert capfd.readouterr() == ("", "")
    texts = [*PROBES, "kitchen " * 200, ""]
    exported = TextEncoder.open(tmp_path / "text")
    assert (exported.encode(texts) * encoder.encode_texts(texts)).sum(axis=1).min() > 0.99999
    if name == "siglip2":
        assert not list((tmp_path / "image").iterdir())
        return
    image = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((61, 47)).save(image)
    assert ImageEncoder.open(tmp_path / "image").encode(image) @ direct(encoder, image) > 0.9999


def refuses(wanted, path):
    raise TypeError("unexpected keyword 'dynamo'")


def fits_its_own_run_alone(wanted, path):
    _trace(dataclasses.replace(wanted, free=()), path)


@pytest.mark.parametrize("trace", [refuses, fits_its_own_run_alone])
def test_a_tower_that_cannot_be_traced_is_exported(clip_encoder, tmp_path, capfd, monkeypatch, trace):
    monkeypatch.setattr(graph_trace, "trace", trace)
    export_text_encoder(clip_encoder, tmp_path)
    assert capfd.readouterr() == ("", "")
    found = TextEncoder.open(tmp_path).encode(PROBES)
    assert (found * clip_encoder.encode_texts(PROBES)).sum(axis=1).min() > 0.99999


def test_the_text_encoder_says_how_much_it_cuts(indexed):
    with Searcher.at(indexed.index, "backbone") as searcher:
        assert searcher.truncated(["red mug", "a garden"]) == 0
        assert searcher.truncated(["mug " * 75]) == 0
        assert searcher.truncated(["mug " * 80, "mug " * 76]) == 6


def test_a_tokenizer_that_cannot_be_exported_is_named(clip_encoder, tmp_path):
    class HomemadeTokenizer:
        padding_side = truncation_side = "right"
        pad_token, pad_token_id, model_max_length, model_input_names = "", 0, 77, ["input_ids"]
        __call__ = clip_encoder.tokenizer.__call__

    odd = dataclasses.replace(clip_encoder, tokenizer=HomemadeTokenizer())
    with pytest.raises(VdistillError, match="HomemadeTokenizer"):
        export_text_encoder(odd, tmp_path / "text")


@pytest.mark.parametrize("most", [1_000, 10_000])
def test_a_disk_that_refuses_is_one_line_and_the_old_index_answers(indexed, tmp_path, catalog, clip_folder, most):
    index = ("index", catalog, "--backbone", clip_folder, "--model", "backbone", "--workspace", indexed.root)
    refused = vdistill_forked(*index, "--dtype", "f32", cwd=tmp_path, most=most)
    message, hint = errors(refused)
    assert message.startswith("error: cannot write")
    assert "free space" in hint
    assert len(vectors_by_id(indexed)) == 24
    assert not list(indexed.index.glob(".*")), "nothing half written stays"

"""An index follows its catalog through any changes: it always answers as one made from scratch."""

import gc
import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vdistill.bundle import shards
from vdistill.images import DECODER_VERSION
from vdistill.index import build as building
from vdistill.index import compact
from vdistill.index.build import build, refresh
from vdistill.index.plan import Plan
from vdistill.inputs.catalog import scan
from vdistill.query.search import Searcher
from vdistill.workspace import create


def paint(path, rng):
    image = Image.new("RGB", (40, 40), tuple(rng.randrange(256) for _ in range(3)))
    ImageDraw.Draw(image).line([rng.randrange(40) for _ in range(6)], fill="white", width=3)
    image.save(path)


def change(catalog, rng):
    """Some images come, go, change, are renamed, copied or touched."""
    names = sorted(catalog.glob("*.png"))
    for path in rng.sample(names, 6):
        kind = rng.choice(["go", "change", "rename", "copy", "touch", "new", "swap"])
        new = catalog / f"{rng.randrange(10**6):06}.png"
        if kind == "go":
            path.unlink()
        elif kind == "change":
            paint(path, rng)
        elif kind == "rename":
            path.rename(new)
        elif kind == "copy":
            shutil.copyfile(path, new)
        elif kind == "touch":
            path.touch()
        elif kind == "new":
            paint(new, rng)
        elif (other := rng.choice(sorted(catalog.glob("*.png")))) != path and path.exists():
            path.rename(catalog / "aside")
            other.rename(path)
            (catalog / "aside").rename(other)


def answers(workspace):
    with Searcher.at(workspace.index, "backbone") as searcher:
        vectors = searcher.vectors(searcher.ids)
        hits = [searcher.search(vector, 5) for vector in vectors[:5]]
        return dict(zip(searcher.ids, vectors, strict=True)), [[hit.id for hit in found] for found in hits]


@pytest.mark.parametrize("seed", range(3))
def test_after_any_changes_it_is_what_a_new_one_would_be(tmp_path, encoder, monkeypatch, seed):
    monkeypatch.setattr(shards, "FLAT", 30 if seed else 20_000)
    monkeypatch.setattr(compact, "SMALL", 3)
    monkeypatch.setattr(building, "encoder_files", lambda *_: ((), ()))
    rng = random.Random(seed)
    catalog, kept = tmp_path / "catalog", create(tmp_path / "kept")
    catalog.mkdir()
    for number in range(24 + 20 * seed):
        paint(catalog / f"{number:06}.png", rng)
    files = set()
    for turn in range(8):
        build(kept, scan(catalog), encoder, "backbone", made_from="x", dtype="f32")
        with Searcher.at(kept.index, "backbone") as searcher:
            assert sum(shard.count for shard in searcher.manifest.shards) <= 1.25 * len(searcher) + 8
            files.add(len(searcher.manifest.shards))
        fresh = create(tmp_path / f"fresh{turn}")
        build(fresh, scan(catalog), encoder, "backbone", made_from="x", dtype="f32")
        (ours, our_hits), (theirs, their_hits) = answers(kept), answers(fresh)
        assert ours.keys() == theirs.keys()
        for name, vector in ours.items():
            np.testing.assert_allclose(vector, theirs[name], atol=1e-5)
        if not seed:
            assert our_hits == their_hits
        change(catalog, rng)
    assert max(files) > 1, "changes went into files of their own"


def test_equal_images_are_embedded_once(tmp_path, encoder):
    rng = random.Random(0)
    (tmp_path / "catalog").mkdir()
    paint(tmp_path / "catalog" / "first.png", rng)
    for number in range(200):
        shutil.copyfile(tmp_path / "catalog" / "first.png", tmp_path / "catalog" / f"{number}.png")
    encoder.encode_texts(["x"])
    encoder.seen = 0
    report = build(create(tmp_path / "w"), scan(tmp_path / "catalog"), encoder, "backbone")
    assert report.items == 201
    assert encoder.seen <= 5, "one, and those of the check of the exported encoder"


def test_a_killed_build_loses_no_vector(tmp_path, encoder, catalog):
    workspace = create(tmp_path / ".vdistill")

    def killed(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(workspace, scan(catalog), encoder, "backbone", progress=killed)
    assert list(workspace.cache.glob("vectors-*.db"))
    encoder.encode_images = None
    embedded = []
    monkey = pytest.MonkeyPatch()
    monkey.setattr(building, "encoder_files", lambda *_: ((), ()))
    build(workspace, scan(catalog), encoder, "backbone", progress=lambda done, total: embedded.append((done, total)))
    monkey.undo()
    assert embedded == [(24, 24)]
    assert not list(workspace.cache.glob("vectors-*.db*"))


def test_a_few_images_need_no_torch(tmp_path, encoder, catalog, monkeypatch):
    workspace = create(tmp_path / ".vdistill")
    build(workspace, scan(catalog), encoder, "backbone", made_from="x")
    rng = random.Random(0)
    for number in range(3):
        paint(catalog / f"new{number}.png", rng)
    (catalog / "red_mug.png").unlink()
    assert refresh(workspace, scan(catalog), "backbone", made_from="another") is None
    assert refresh(workspace, scan(catalog), "backbone", made_from="x", dtype="f32") is None
    assert refresh(workspace, scan(catalog), "student", made_from="x") is None
    monkeypatch.setattr(building, "FEW", 2)
    assert refresh(workspace, scan(catalog), "backbone", made_from="x") is None
    monkeypatch.setattr(building, "FEW", 3)
    report = refresh(workspace, scan(catalog), "backbone", made_from="x")
    assert (report.items, report.added, report.removed) == (26, 3, 1)
    found, _ = answers(workspace)
    again = build(workspace, scan(catalog), encoder, "backbone", made_from="x", dtype="f32")
    assert again.items == 26
    exact, _ = answers(workspace)
    assert min(float(found[name] @ exact[name]) for name in exact) > 0.999


def test_a_damaged_cache_of_vectors_is_made_anew(tmp_path, encoder, catalog):
    workspace = create(tmp_path / ".vdistill")
    workspace.cache.mkdir()
    name = f"vectors-{encoder.fingerprint}-{encoder.precision}-{DECODER_VERSION}.db"
    (workspace.cache / name).write_bytes(b"no database" * 1000)
    assert build(workspace, scan(catalog), encoder, "backbone").items == 24


def test_a_plan_may_be_dropped_by_another_thread(tmp_path):
    ring = [Plan(tmp_path / "items.db", None, 1)]
    ring.append(ring)
    del ring
    with ThreadPoolExecutor(1) as executor:  # where a thread allocates, it collects what others left
        executor.submit(gc.collect).result()

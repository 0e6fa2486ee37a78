"""`vdistill index` killed at any moment: readers get whole answers all along, and the next run finishes the work."""

import json
import random
import threading
import time
import traceback

import pytest
from PIL import Image, ImageDraw

import forked
from forked import vdistill_forked
from indexes import verify
from vdistill.bundle import manifest
from vdistill.query.search import Searcher
from vdistill.workspace import at

KILLS, ITEMS, CHANGED = 50, 40, 12


def paint(path, item, version):
    rng = random.Random(f"{item} {version}")
    image = Image.new("RGB", (48, 48), tuple(rng.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(image)
    for _ in range(4):
        pen.rectangle(sorted(rng.randrange(48) for _ in range(4)), fill=tuple(rng.randrange(256) for _ in range(3)))
    image.save(path)


def advance(catalog, version, painted, rng):
    """Version `version` of the catalog: some images are others, and every item says so."""
    for item in range(ITEMS) if not painted else rng.sample(range(ITEMS), CHANGED):
        paint(catalog / f"{item:02}.png", item, version)
        painted[item] = version
    rows = [{"file_name": f"{i:02}.png", "version": version, "painted": painted[i]} for i in range(ITEMS)]
    (catalog / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


class Reader(threading.Thread):
    """Asks all along, each time in an index that it opens."""

    def __init__(self, index, wanted):
        super().__init__(daemon=True)
        self.index, self.wanted = index, wanted
        self.answers, self.wrong, self.over = 0, [], False

    def run(self):
        rng = random.Random(1)
        while not self.over:
            try:
                with Searcher.at(self.index, "backbone") as searcher:
                    self.ask(searcher, rng.randrange(ITEMS))
            except Exception as error:  # whatever it is, no reader may see it
                self.wrong.append("".join(traceback.format_exception(error)))

    def ask(self, searcher, item):
        """All items are of one version of the catalog, and an image's vector is that of this version's image."""
        name = f"{item:02}.png"
        hits = searcher.search(searcher.vectors([name])[0], ITEMS)
        versions = {hit.metadata["version"] for hit in hits}
        own = next(hit for hit in hits if hit.id == name)
        image = self.wanted / f"{item:02}_{own.metadata['painted']}.png"
        score = float(searcher.encode_image(image) @ searcher.vectors([name])[0])
        self.answers += 1
        if len(hits) != ITEMS or len(versions) != 1 or score < 0.999:
            self.wrong.append((len(hits), versions, item, score))


@pytest.mark.slow
def test_killed_at_fifty_moments_every_query_is_answered_from_one_whole_index(tmp_path, clip_folder):
    rng, painted = random.Random(0), {}
    catalog, wanted = tmp_path / "catalog", tmp_path / "wanted"
    catalog.mkdir()
    wanted.mkdir()

    def next_version(version):
        advance(catalog, version, painted, rng)
        for item, made in painted.items():
            if made == version:
                paint(wanted / f"{item:02}_{made}.png", item, made)

    def command(dtype):
        return ["index", "catalog", "--model", "backbone", "--backbone", str(clip_folder), "--dtype", dtype, "--json"]

    next_version(0)
    dtypes = ["bf16", "f32"]
    assert vdistill_forked(*command(dtypes[0]), cwd=tmp_path).code == 0
    next_version(1)
    started = time.monotonic()
    assert vdistill_forked(*command(dtypes[0]), cwd=tmp_path).code == 0
    quick = time.monotonic() - started
    started = time.monotonic()
    assert vdistill_forked(*command(dtypes[1]), cwd=tmp_path).code == 0  # another precision: everything is made anew
    slow = time.monotonic() - started
    index = at(tmp_path / ".vdistill").index
    reader = Reader(index, wanted)
    reader.start()
    finished, turn = 0, 1
    for kill in range(KILLS):
        next_version(2 + kill)
        whole = kill % 5 == 4
        turn ^= whole
        process = forked.start(*command(dtypes[turn]), cwd=tmp_path)
        time.sleep(rng.uniform(0.3, 1.1) * (slow if whole else quick))
        finished += not process.is_alive()
        process.kill()
        process.join()
        verify(index)
    next_version(2 + KILLS)
    done = vdistill_forked(*command(dtypes[turn]), cwd=tmp_path)
    reader.over = True
    reader.join()
    assert done.code == 0, done.err
    assert reader.wrong == []
    with Searcher.at(index, "backbone") as searcher:
        hits = searcher.search(searcher.vectors(["00.png"])[0], ITEMS)
        assert {hit.metadata["version"] for hit in hits} == {2 + KILLS}
        for item in range(ITEMS):
            image = wanted / f"{item:02}_{painted[item]}.png"
            assert float(searcher.encode_image(image) @ searcher.vectors([f"{item:02}.png"])[0]) > 0.999
    files = {path for path in index.rglob("*") if path.is_file()}
    entries = manifest.read(index)
    assert files == {index / manifest.NAME} | {index / file.name for file in entries["backbone"].files}
    print(f"{KILLS} kills, {KILLS - finished} while it ran; {reader.answers} answers meanwhile, none wrong")

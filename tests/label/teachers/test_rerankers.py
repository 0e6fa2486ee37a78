"""Rerankers as teachers: each image is scored by itself, once for a query, and all scores of a query compare."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import vlm_models
from chat_server import ChatServer, refusal
from chat_teacher import QUICK
from command_line import QUERIES, errors, vdistill
from vdistill import preferences
from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.teachers import open_teacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.label.teachers.rerank_server import RerankServer
from vdistill.label.teachers.vlm_reranker import LocalReranker
from vdistill.records import Answer, Failure, Question, ShownImage


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    home = tmp_path_factory.mktemp("images")
    shown = []
    for number in range(4):
        path = home / f"{number}.png"
        Image.new("RGB", (60 + 20 * number, 70), (60 * number, 90, 250 - 60 * number)).save(path)
        shown.append(ShownImage(path.name, path, str(number)))
    return tuple(shown)


def scores_of(answer):
    return [math.log(chance) + answer.level for chance in answer.probabilities]


def local(folder):
    return LocalReranker(str(folder), TeacherOptions(), say=lambda _: None, device="cpu", precision="fp32")


def yes_above_no(teacher, image, query):
    """What transformers' own class says about one image, asked without our code for it."""
    processor = teacher._processor
    prompt = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
        "<Instruct>: Given what a customer of a shop is looking for, retrieve pictures that suit this customer."
        f"<Query>:{query}\n<Document>:<|vision_start|><|image_pad|><|vision_end|><|im_end|>\n<|im_start|>assistant\n"
    )
    inputs = processor.inputs([prompt], [[teacher._scaled(image)]])
    with torch.inference_mode():
        logits = teacher._model(**inputs).logits[0, -1]
    yes, no = (processor.own.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
    return float(logits[yes] - logits[no])


def by_its_layers(teacher, image, query):
    prompt = f"**Document**:\n<|vision_start|><|image_pad|><|vision_end|>\n**Query**:\n{query}"
    inputs = teacher._processor.inputs([prompt], [[teacher._scaled(image)]])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[100]])], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.tensor([[0]])], dim=1)
    with torch.inference_mode():
        hidden = teacher._model(**inputs, output_hidden_states=True).hidden_states[-1][0, -1]
    head = load_file(f"{teacher._source}/model.safetensors")
    inner = torch.relu(head["score.0.weight"] @ hidden + head["score.0.bias"])
    return float((head["score.2.weight"] @ inner + head["score.2.bias"])[0] - 2.65)


@pytest.mark.parametrize(
    ("make", "truth"),
    [(lambda path: vlm_models.qwen3_vl(path, said=["yes", "no"]), yes_above_no), (vlm_models.jina_m0, by_its_layers)],
    ids=["Qwen3-VL-Reranker", "jina-reranker-m0"],
)
def test_a_layout_scores_as_its_own_classes_do_and_alike_in_every_call(tmp_path, images, make, truth):
    teacher = local(make(tmp_path / "reranker"))
    assert teacher.name.startswith("rerank:reranker@")
    all_four, turned, other = teacher.ask([
        Question("something red", images), Question("something red", images[2:0:-1]), Question("a lamp", images),
    ])  # fmt: skip
    assert scores_of(all_four) == pytest.approx([truth(teacher, one, "something red") for one in images], abs=1e-4)
    assert scores_of(turned) == pytest.approx(scores_of(all_four)[2:0:-1], abs=1e-4)
    assert scores_of(other) != pytest.approx(scores_of(all_four), abs=1e-4)
    (rank,) = teacher.ask([Question("something red", images, "rank")])
    assert list(rank.order) == sorted(range(4), key=lambda place: -scores_of(all_four)[place])
    assert teacher.price(Question("red", images)).tokens == 4 * teacher.price(Question("red", images[:1])).tokens


def test_other_layouts_are_refused_by_name_and_incomplete_ones_too(tmp_path, images):
    with pytest.raises(VdistillError, match="Qwen2VLForConditionalGeneration, which is no reranker") as caught:
        local(vlm_models.qwen2_vl(tmp_path / "plain"))
    assert "--endpoint" in caught.value.hint
    with pytest.raises(VdistillError, match="has not the layers of a JinaVLForRanking"):
        local(vlm_models.jina_m0(tmp_path / "headless", score=False)).ask([Question("red", images)])


def test_a_query_that_holds_the_models_word_for_an_image_and_a_broken_image_fail_alone(tmp_path, images):
    teacher = local(vlm_models.jina_m0(tmp_path / "reranker"))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    broken = ShownImage("broken.png", tmp_path / "broken.png", "x")
    bad, unread, good = teacher.ask([Question("<|image_pad|>", images), Question("red", (images[0], broken)),
                                     Question("red", images)])  # fmt: skip
    assert (type(bad), type(unread), type(good)) == (Failure, Failure, Answer)


RELEVANCE = {"0": 0.9, "1": 0.2, "2": 0.6, "3": 0.01}


def rerank_server(path, shape):
    """A server that knows one path and one way to write images; results come best first."""

    def uris(documents):
        if shape == "together":
            return [part["image_url"]["url"] for part in documents["content"]]
        if shape in ("images", "data"):
            found = [document["image"] for document in documents]
            assert all(image.startswith("data:") == (shape == "data") for image in found)
            return found
        return [document["content"][0]["image_url"]["url"] for document in documents]

    def answer(body):
        documents = body.get("documents", body.get("data_2"))
        try:
            count = len(uris(documents))
        except (TypeError, KeyError, AssertionError):
            return refusal("documents: input should be a valid string", 422)
        known = [0.9, 0.2, 0.6, 0.01][:count]
        if path == "/v1/score":
            data = [{"index": at, "object": "score", "score": score} for at, score in enumerate(known)]
            return {"data": data, "usage": {"prompt_tokens": 500 * count, "total_tokens": 500 * count}}
        order = sorted(range(count), key=lambda at: -known[at])
        return {"results": [{"index": at, "relevance_score": known[at]} for at in order],
                "usage": {"total_tokens": 500 * count}}  # fmt: skip

    server = ChatServer(answer)
    return server


def ask(server, *questions, **options):
    """The answers of a teacher that is opened for these questions and closed."""
    known = TeacherOptions(endpoint=server.url, **{"prices": {"vlm": (2.0, 0.0)}} | options)
    teacher = RerankServer("vlm", known, say=lambda _: None, patience=QUICK)
    try:
        return teacher.ask(questions)
    finally:
        teacher.close()


@pytest.mark.parametrize(
    ("path", "shape"),
    [("/v1/rerank", "each"), ("/v1/rerank", "together"), ("/v1/rerank", "images"), ("/v1/rerank", "data"),
     ("/v1/score", "each"),
     ("/v1/score", "together")],
)  # fmt: skip
def test_a_server_is_asked_in_the_form_that_it_understands(images, path, shape):
    memory = {}

    class Memory:
        recall, keep = memory.get, memory.__setitem__

    with rerank_server(path, shape) as server:
        answer = server.script[0]
        # The path decides, too: the server of these tests gets the body alone.
        knows = lambda body: answer(body) if ("data_2" in body) == (path == "/v1/score") else refusal("no", 404)  # noqa: E731
        server.script = [knows]
        first, second = ask(server, Question("red", images), Question("red", images[:2]), memory=Memory())
        tried = server.calls - 1
        assert server.bodies[-1][0] == path
        assert scores_of(first) == pytest.approx([math.log(p / (1 - p)) for p in (0.9, 0.2, 0.6, 0.01)])
        assert scores_of(second) == pytest.approx(scores_of(first)[:2])
        assert first.tokens == 2000
        assert first.cost_usd == pytest.approx(2000 * 2e-6)
        ask(server, Question("red", images), memory=Memory())
        assert server.calls == tried + 2, "it remembers the form"


@pytest.mark.parametrize(
    ("results", "why"),
    [([{"index": 0, "relevance_score": 0.5}], "1 scores of 4"),
     ([{"index": at, "relevance_score": -3.2} for at in range(4)], "not between 0 and 1"),
     ([{"index": at // 2, "relevance_score": 0.5} for at in range(4)], "2 scores of 4"),
     ("none", "0 scores of 4")],
)  # fmt: skip
def test_scores_that_are_not_one_for_each_image_are_a_failure(images, results, why):
    with ChatServer({"results": results, "usage": {"total_tokens": 10}}) as server:
        (answer,) = ask(server, Question("red", images))
    assert why in answer.reason


def test_an_address_without_a_reranker_ends_the_run(images):
    with ChatServer(refusal("Not Found", 404)) as server:
        with pytest.raises(TeacherError, match="no reranker answers") as caught:
            ask(server, Question("red", images))
    assert "--runner pooling" in caught.value.hint


def test_the_budget_is_images_and_none_is_shown_twice_for_a_query(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("\n".join(QUERIES[:8]) + "\n")
    truth = {}

    def answer(body):
        """A relevance of its own for each query and image."""
        found = []
        for at, document in enumerate(body["documents"]):
            key = body["query"], document["content"][0]["image_url"]["url"]
            truth.setdefault(key, []).append(key)
            drawn = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:4], "big") / 2**32
            found.append({"index": at, "relevance_score": 0.05 + 0.9 * drawn})
        return {"results": found, "usage": {"total_tokens": 500 * len(found)}}

    command = ["label", "catalog", "--teacher", "rerank:vlm", "--queries", "q.txt", "--images-per-call", 4, "--holdout",
               0.4, "--json"]  # fmt: skip
    with ChatServer(answer) as server:
        options = ["--endpoint", server.url]
        env = {"VDISTILL_USD_PER_MILLION": "2,0"}
        plan = vdistill(*command, *options, "--budget", 80, "--dry-run", cwd=tmp_path, env=env).json
        first = vdistill(*command, *options, "--budget", 80, cwd=tmp_path, env=env).json
        assert first["calls"] == first["images_shown"] == plan["calls"] <= 80
        assert first["cost_usd"] == pytest.approx(first["calls"] * 500 * 2e-6)
        whole = vdistill(*command, *options, "--budget", 4000, cwd=tmp_path, env=env).json
        assert first["calls"] + whole["calls"] < 8 * 24, "every image once, and those of the other side never"
        assert all(len(times) == 1 for times in truth.values())
        again = vdistill(*command, *options, "--budget", 4000, cwd=tmp_path, env=env).json
        assert again["calls"] == 0
        capped = vdistill(*command, *options, "--max-cost", 0.02, "--seed", 7, cwd=tmp_path, env=env).json
        assert 0.006 <= capped["cost_usd"] <= 0.02
        assert (
            "--schedule knockout"
            in errors(vdistill(*command, *options, "--schedule", "knockout", "--budget", 40, cwd=tmp_path, env=env))[0]
        )
    with Database.open(tmp_path / ".vdistill" / "vdistill.db") as database:
        judgments = [one for one in database.judgments("heldout") if one.answer.level is not None]
    export = tmp_path / "judgments.parquet"
    assert vdistill("label", "--export", export, cwd=tmp_path).code == 0
    elsewhere = tmp_path / "elsewhere"
    done = vdistill("--workspace", elsewhere, "label", "catalog", "--import", export, cwd=tmp_path)
    assert done.code == 0, done.err
    with Database.open(elsewhere / "vdistill.db") as database:
        restored = {(one.query, one.items): one.answer.level for one in database.judgments("heldout")}
    assert restored == {(one.query, one.items): pytest.approx(one.answer.level) for one in judgments}
    fitted = preferences.fit(judgments)
    for query in fitted.queries:
        known = dict(zip(*fitted.means(query), strict=True))
        scores = {item: score for one in judgments if one.query == query
                  for item, score in zip(one.items, scores_of(one.answer), strict=True)}  # fmt: skip
        assert len(scores) > 4, "several calls"
        items = sorted(scores)
        ours, theirs = (np.argsort([one[item] for item in items]) for one in (known, scores))
        assert ours.tolist() == theirs.tolist(), "calls that share no image compare"


def test_the_command_takes_a_folder(tmp_path, catalog):
    folder = vlm_models.qwen3_vl(tmp_path / "reranker", said=["yes", "no"])
    (tmp_path / "q.txt").write_text("\n".join(QUERIES[:4]) + "\n")
    done = vdistill("label", "catalog", "--teacher", f"rerank:{folder}", "--queries", "q.txt", "--images-per-call", 3,
                    "--budget", 24, "--holdout", 0, "--json", cwd=tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["calls"] == done.json["images_shown"] == 24
    with pytest.raises(VdistillError, match="no folder"):
        open_teacher("rerank:/nowhere/at/all", TeacherOptions(), [], print)
    assert json.dumps(done.json["teacher"]).startswith('"rerank:reranker@')

"""What is measured is products: each scores what its best image scores, and is worth what that image was judged."""

from dataclasses import replace

import numpy as np
import pytest

from vdistill.errors import VdistillError
from vdistill.evaluation.by_product import ByProduct
from vdistill.evaluation.grading import evaluate, grade, means, ndcg, teacher_scores
from vdistill.evaluation.qrels import Candidates, from_qrels
from vdistill.evaluation.test_set import from_judgments
from vdistill.evaluation.trec_ids import ItemNames
from vdistill.inputs.item_keys import keys_of, products_of
from vdistill.records import Answer, Item, Judgment, Query

# Three images of a mug, two of a lamp, and a chair that has no group.
IDS = ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png"]
PRODUCTS = {"a.png": "mug", "c.png": "mug", "f.png": "mug", "b.png": "lamp", "e.png": "lamp"}
ITEMS = [Item(key, None, {"title": PRODUCTS.get(key, "chair")}) for key in IDS]
SIDES = dict.fromkeys(IDS, "heldout")
QUERIES = [Query("q", "for my aunt", "heldout")]


def ranked(*items, query="for my aunt"):
    answer = Answer(order=tuple(range(len(items))))
    return Judgment(query, tuple(items), ("",) * len(items), "rank", answer, "table:x", "heldout")


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_a_product_is_worth_what_its_best_judged_image_is():
    held_out = from_judgments([ranked("c.png", "b.png", "d.png", "e.png", "a.png")], ITEMS, PRODUCTS)
    assert held_out.products.names == ("mug", "lamp", "d.png")
    (judged,) = held_out.judged
    assert judged.rows.tolist() == [0, 1, 2]
    assert judged.gains.tolist() == [10, 9, 8], "ranked among products, not among images"
    assert [held_out.items[row] for row in judged.images] == ["c.png", "b.png", "d.png"]
    assert held_out.candidates.tolist() == [3]
    assert held_out.per == "product"


def test_a_product_scores_what_its_best_image_scores():
    held_out = from_judgments([ranked("c.png", "b.png", "d.png")], ITEMS, PRODUCTS)
    scores = np.array([0.1, 0.5, 0.2, 0.4, 0.3, 0.9])  # f.png, a mug that was never judged, is found first
    values = grade(held_out, [scores])
    assert values["ndcg@10"][0] == values["mpr"][0] == values["kendall_tau"][0] == 1
    images = grade(from_judgments([ranked("c.png", "b.png", "d.png")], ITEMS), [scores])
    assert images["ndcg@10"][0] < 1


def test_the_teacher_is_perfect_by_product_and_a_title_finds_its_product():
    held_out = from_judgments([ranked("c.png", "b.png", "d.png", "a.png")], ITEMS, PRODUCTS)
    values = grade(held_out, teacher_scores(held_out, []))
    assert np.stack(list(values.values())) == pytest.approx(1)
    vectors = unit(np.random.default_rng(0).normal(size=(6, 16)))
    titles = vectors[[4, 3, 0]]  # "lamp" looks like one of two lamps, "chair" like the chair, "mug" like one of three
    assert held_out.titles == ("chair", "lamp", "mug")
    found = means(evaluate(held_out, vectors, vectors[:1], titles[[1, 0, 2]]))
    assert found["literal_recall@1"] == 1
    by_image = from_judgments([ranked("c.png", "b.png", "d.png", "a.png")], ITEMS)
    assert means(evaluate(by_image, vectors, vectors[:1], titles[[1, 0, 2]]))["literal_recall@10"] == 1


def test_qrels_name_images_or_products():
    by_product = from_qrels({"q": {"mug": 2, "d.png": 1}}, "x", QUERIES, Candidates(ITEMS, SIDES, PRODUCTS))
    by_image = from_qrels({"q": {"c.png": 2, "a.png": 1, "d.png": 1}}, "x", QUERIES, Candidates(ITEMS, SIDES, PRODUCTS))
    for held_out in (by_product, by_image):
        _, gains, _ = held_out.dense(held_out.judged[0])
        assert gains.tolist() == [2, 0, 1]
        assert held_out.candidates.tolist() == [3]
        assert held_out.notes == ()
    images = from_qrels({"q": {"mug": 2, "d.png": 1}}, "x", QUERIES, Candidates(ITEMS, SIDES, PRODUCTS, "image"))
    assert images.dense(images.judged[0])[1].tolist() == [2, 0, 2, 1, 0, 2]
    every = from_qrels({"q": {"mug": 2, "d.png": 1}}, "x", QUERIES, Candidates(ITEMS, SIDES, {}))
    assert "1 of the items in x are not known, e.g. 'mug'" in every.notes[0]
    with pytest.raises(VdistillError, match="are not known, e.g. 'mugg'"):
        from_qrels({"q": {"mugg": 2}}, "x", QUERIES, Candidates(ITEMS, SIDES, PRODUCTS))


def test_a_query_whose_images_are_all_of_one_product_tells_nothing():
    judgments = [ranked("a.png", "c.png", "f.png", query="for a hike"), ranked("a.png", "b.png")]
    assert from_judgments(judgments, ITEMS, PRODUCTS).queries == ("for my aunt",)
    with pytest.raises(VdistillError, match="no held-out judgments"):
        from_judgments(judgments[:1], ITEMS, PRODUCTS)


def test_products_of_one_image_change_no_digit():
    rng = np.random.default_rng(3)
    items = [Item(f"{n:03}", None, {"title": f"t {n % 40}"}) for n in range(60)]
    judgments = [ranked(*(items[i].id for i in rng.permutation(60)[:9]), query=f"query {n % 7}") for n in range(30)]
    vectors, queries, titles = (unit(rng.normal(size=(count, 12))) for count in (60, 7, 40))
    plain = from_judgments(judgments, items)
    named = from_judgments(judgments, items, {item.id: f"sku {n}" for n, item in enumerate(items)})
    assert (plain.per, named.per) == ("image", "image")
    first, second = (evaluate(one, vectors, queries, titles) for one in (plain, named))
    for metric, values in first.items():
        assert values.tolist() == second[metric].tolist()
    assert ndcg(plain, vectors, queries).tolist() == ndcg(named, vectors, queries).tolist()


def test_by_product_is_by_image_where_the_images_of_a_product_are_copies():
    rng = np.random.default_rng(4)
    one = [Item(f"{n:03} 0", None, {"title": f"t {n}"}) for n in range(40)]
    copies = [replace(item, id=item.id[:-1] + str(m)) for item in one for m in (0, 1, 2)]
    judgments = [ranked(*(one[i].id for i in rng.permutation(40)[:9]), query=f"query {n % 5}") for n in range(40)]
    vectors, queries, titles = (unit(rng.normal(size=(count, 12))) for count in (40, 5, 40))
    single = evaluate(from_judgments(judgments, one), vectors, queries, titles)
    held_out = from_judgments(judgments, copies, {item.id: item.id[:3] for item in copies})
    found = evaluate(held_out, np.repeat(vectors, 3, axis=0), queries, titles)
    for metric, values in single.items():
        np.testing.assert_allclose(values, found[metric], rtol=0, atol=1e-12)


def test_one_product_has_many_names_and_no_two_products_have_one():
    cells = [{"item_id": 5, "sku": "s1"}, {"item_id": 5, "sku": "s2"}, {"sku": 5}, {"sku": "d.png"}, {}, {"sku": True}]
    ids = ["a.png", "b.png", "c.png", "x.png", "d.png", "y.png"]
    items = [Item(key, None, one) for key, one in zip(ids, cells, strict=True)]
    products = products_of({item.id: keys_of(item, None) for item in items})
    names = ItemNames(items, products)
    for name, images in {
        "item_id=5": ["a.png", "b.png"], "sku=5": ["c.png"], "s1": ["a.png"], "sku=s2": ["b.png"],
        "5": ["a.png", "b.png"], "d.png": ["d.png"], "product=d.png": ["x.png"], "a%2Epng": ["a.png"],
        "True": [], "y.png": ["y.png"],
    }.items():  # fmt: skip
        assert list(names.find(name)) == images, name
    grouped = ByProduct.of(ids, products)
    assert grouped.names == ("item_id=5", "sku=5", "product=d.png", "d.png", "y.png")
    for number, name in enumerate(grouped.names):
        images = [item.id for item, of in zip(items, grouped.number, strict=True) if of == number]
        assert list(names.find(name)) == images
    sides = dict.fromkeys(ids, "heldout")
    by_sku = from_qrels({"for%20my%20aunt": {"s1": 2}}, "x", QUERIES, Candidates(items, sides, products))
    assert by_sku.dense(by_sku.judged[0])[1].tolist() == [2, 0, 0, 0, 0]
    assert by_sku.notes == ()

"""What is read of metadata for items' vectors: which columns hold words, and the text of each cell."""

import pytest

from vdistill.inputs.item_texts import text_columns, text_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  A  mug\n for tea ", "A mug for tea"),
        ("<p>A <b>mug</b></p><p>for&nbsp;tea &amp; milk</p>", "A mug for tea & milk"),
        ("<style>p {color: red}</style>A mug<script>alert('<b>')</script><!-- old -->", "A mug"),
        ("fits 3 < 4 people", "fits 3 < 4 people"),
        (["red", 7, None, "<i>small</i>"], "red, small"),
        (19.5, "price 19.5"),
        (1200, "price 1,200"),
        (True, "price"),
        ({"eur": 7}, ""),
        (None, ""),
    ],
)
def test_the_text_of_a_cell(value, text):
    assert text_of("price", value) == text


def test_columns_that_hold_words_are_neither_groups_nor_numbers_nor_codes():
    rows = [
        {
            "sku": f"A{n}",
            "ean": f"40{n:011}",
            "link": f"https://shop.example/{n}",
            "code": f"mug-{n}x",
            "price": n,
            "weight": f"{n} g",
            "title": f"a mug number {n}",
            "colour": ("red", "green")[n % 2],
            "tags": ["mug", "tea"],
        }
        for n in range(10, 40)
    ]
    assert text_columns(rows) == ("title", "colour", "tags")


def test_distinct_names_of_one_word_are_not_taken_for_codes():
    assert text_columns([{"title": name} for name in ("Teapot", "Lamp", "Mug", "Chair")]) == ("title",)

"""`--where` reads the metadata and can do nothing else."""

import contextlib
import sqlite3

import pytest

from indexes import row, write_items
from vdistill.errors import VdistillError
from vdistill.query.filters import matching_keys


@pytest.fixture
def items(tmp_path):
    rows = [
        {"title": "red can", "price": 12.5, "tags": ["garden"], "in stock": True, "key": "k"},
        {"title": "blue mug", "price": 30},
        {},
    ]
    path = write_items(tmp_path / "items.db", [row(n, f"{'abc'[n]}.jpg", one) for n, one in enumerate(rows)])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE secrets (word TEXT)")
        connection.execute("INSERT INTO secrets VALUES ('x')")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("price < 20", [0]),
        ("price >= 12.5 AND title LIKE '%mug'", [1]),
        ("price IS NULL", [2]),
        ("title = 'red can' -- a comment", [0]),
        ("tags LIKE '%garden%'", [0]),
        ('"in stock"', [0]),
        ("id GLOB 'c*' OR lower(title) = 'blue mug'", [1, 2]),
        ("key = 'k'", [0]),
        ("0", []),
    ],
)
def test_an_expression_picks_items(items, expression, found):
    assert matching_keys(items, expression).tolist() == found


def test_an_unknown_column_names_the_close_one(items):
    with pytest.raises(VdistillError, match="no column 'prize'") as caught:
        matching_keys(items, "prize < 20")
    assert "price" in caught.value.hint


@pytest.mark.parametrize("expression", ["price <", "", "((", "price < 20) OR (", "'", "price < 20; SELECT 1"])
def test_a_syntax_error_is_one_clear_line(items, expression):
    with pytest.raises(VdistillError, match="--where"):
        matching_keys(items, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "EXISTS (SELECT 1 FROM secrets)",
        "1) UNION SELECT word FROM secrets --",
        "1); DELETE FROM items; --",
        "EXISTS (SELECT 1 FROM sqlite_master)",
        "EXISTS (SELECT 1 FROM words)",
        "EXISTS (SELECT 1 FROM pragma_database_list)",
        "load_extension('x')",
        "length(randomblob(100000000))",
    ],
)
def test_nothing_but_the_items_can_be_read_and_nothing_written(items, expression):
    before = "".join(items.iterdump())
    with pytest.raises(VdistillError, match="--where"):
        matching_keys(items, expression)
    assert "".join(items.iterdump()) == before

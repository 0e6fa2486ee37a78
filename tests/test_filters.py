"""`--where` reads the metadata and can do nothing else."""

import contextlib
import json
import sqlite3

import pytest

from vdistill.errors import VdistillError
from vdistill.query.filters import matching_ids


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "items.db"
    rows = [
        ("a.jpg", {"title": "red can", "price": 12.5, "tags": ["garden"], "in stock": True}),
        ("b.jpg", {"title": "blue mug", "price": 30}),
        ("c.jpg", {}),
    ]
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE items (key INTEGER PRIMARY KEY, id TEXT, metadata TEXT)")
        connection.execute("CREATE TABLE secrets (word TEXT)")
        connection.execute("INSERT INTO secrets VALUES ('x')")
        connection.executemany(
            "INSERT INTO items (id, metadata) VALUES (?, ?)", [(key, json.dumps(row)) for key, row in rows]
        )
    return path


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("price < 20", ["a.jpg"]),
        ("price >= 12.5 AND title LIKE '%mug'", ["b.jpg"]),
        ("price IS NULL", ["c.jpg"]),
        ("title = 'red can' -- a comment", ["a.jpg"]),
        ("tags LIKE '%garden%'", ["a.jpg"]),
        ('"in stock"', ["a.jpg"]),
        ("id GLOB 'c*' OR lower(title) = 'blue mug'", ["b.jpg", "c.jpg"]),
        ("0", []),
    ],
)
def test_an_expression_picks_items(items, expression, found):
    assert matching_ids(items, expression) == found


def test_an_unknown_column_names_the_close_one(items):
    with pytest.raises(VdistillError, match="no column 'prize'") as caught:
        matching_ids(items, "prize < 20")
    assert "price" in caught.value.hint


@pytest.mark.parametrize("expression", ["price <", "", "((", "price < 20) OR (", "'", "price < 20; SELECT 1"])
def test_a_syntax_error_is_one_clear_line(items, expression):
    with pytest.raises(VdistillError, match="--where"):
        matching_ids(items, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "EXISTS (SELECT 1 FROM secrets)",
        "1) UNION SELECT word FROM secrets --",
        "1); DELETE FROM items; --",
        "EXISTS (SELECT 1 FROM sqlite_master)",
        "EXISTS (SELECT 1 FROM pragma_database_list)",
        "load_extension('x')",
        "length(randomblob(100000000))",
    ],
)
def test_nothing_but_the_items_can_be_read_and_nothing_written(items, expression):
    before = items.read_bytes()
    with pytest.raises(VdistillError, match="--where"):
        matching_ids(items, expression)
    assert items.read_bytes() == before

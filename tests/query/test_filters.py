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


@pytest.fixture
def wares(tmp_path):
    """Searches items by an expression: `wares(rows)(expression)` gives the places of those that fulfil it."""

    def with_rows(rows):
        path = write_items(
            tmp_path / f"{len(list(tmp_path.iterdir()))}.db", [row(n, f"{n}.jpg", one) for n, one in enumerate(rows)]
        )
        connection = opened.enter_context(contextlib.closing(sqlite3.connect(path)))
        return lambda expression: matching_keys(connection, expression).tolist()

    with contextlib.ExitStack() as opened:
        yield with_rows


def test_a_column_of_numbers_written_as_texts_compares_as_numbers(wares):
    found = wares([{"price": "5.00"}, {"price": "15"}, {"price": "n/a"}, {"price": None}, {"price": "120"}, {}])
    assert found("price < 20") == [0, 1]
    assert found("price > 20") == [4]
    assert found("price < '20'") == [0, 1]
    assert found("price = 5 OR price = '120'") == [0, 4]
    assert found("price IS NULL") == [2, 3, 5]
    assert found("price BETWEEN 5 AND 15") == [0, 1]


@pytest.mark.parametrize(
    "values", [["01234", "99999"], ["12E45", "13"], ["1,234.50", "5"], ["+4930", "110"], ["12345678901234567890", "1"]]
)
def test_what_only_looks_like_numbers_stays_text_the_whole_column(wares, values):
    found = wares([{"code": value} for value in values])
    assert found(f"code = '{values[0]}'") == [0]
    assert found(f"code = '{values[1]}'") == [1]
    with pytest.raises(VdistillError, match="code is text") as caught:
        found("code < 20")
    assert "number(code) < 20" in caught.value.hint
    assert found("number(code) < 20") == ([1] if float(values[1].strip("+")) < 20 else [])


def test_booleans_are_true_or_false_however_they_are_written(wares):
    found = wares([{"new": "true"}, {"new": "False"}, {"new": True}, {"new": ""}])
    assert found("new") == [0, 2]
    assert found("NOT new") == [1]
    assert found("new = true") == [0, 2]
    assert found("new IS NULL") == [3]
    with pytest.raises(VdistillError, match="new is true or false"):
        found("new = 'true'")


def test_dates_compare_as_dates_and_times_in_utc(wares):
    found = wares(
        [
            {"day": "2024-05-01", "at": "2024-05-01T10:00:00Z"},
            {"day": "2023-12-31", "at": "2024-05-01 14:00:00+03:00"},
            {"day": "-", "at": "2024-06-01"},
        ]
    )
    assert found("day >= '2024-01-01'") == [0]
    assert found("day IS NULL") == [2]
    assert found("at < '2024-05-01 10:30:00'") == [0]
    assert found("date(at) = '2024-05-01'") == [0, 1]
    for wrong in ("at < '2024-05-01T10:30:00'", "at = '2024-06-01'", "day > 'May'"):
        with pytest.raises(VdistillError, match="is a (date|time)"):
            found(wrong)


def test_numbers_beside_texts_are_not_compared_by_accident(wares):
    found = wares([{"price": 5}, {"price": "ask us"}, {"price": 50}])
    with pytest.raises(VdistillError, match="price is text, at least in some items"):
        found("price > 20")
    assert found("number(price) > 20") == [2]
    assert found("20 + price > 30") == [2], "arithmetic is SQLite's own"
    assert found("price = 'ask us'") == [1]


@pytest.mark.parametrize(
    "expression", ['"prise" > 20', '"prise" < 20', "`prise` > 20", "[prise] > 20", 'item."prise" > 20']
)
def test_a_misspelt_name_in_quotes_is_no_text(wares, expression):
    with pytest.raises(VdistillError, match="no column 'prise'") as caught:
        wares([{"price": 5}])(expression)
    assert "price" in caught.value.hint


def test_every_name_of_the_metadata_can_be_named(wares):
    names = ["id", "_key", "key", "metadata", "items", "rowid", 'size"in', "a\\b", "tab\there", "dot.ted", "ünï", ""]
    names += ["[x]", "it's", "5", "select"]
    found = wares([dict.fromkeys(names, 1), dict.fromkeys(names, 2)])
    for name in names:
        quoted = '"' + name.replace('"', '""') + '"'
        assert found(f"{quoted} = 2") == [1], name
    assert found("id = 2 AND _key = 2 AND items = 2 AND ünï = 2") == [1]
    assert found("file_name = '0.jpg'") == [0], "the item's id, whatever columns there are"


def test_names_that_differ_in_letter_case_alone_are_taken_exactly(wares):
    found = wares([{"Colour": "red", "colour": "blue"}, {"Colour": "blue", "colour": "red"}])
    assert found("colour = 'blue'") == [0]
    assert found("Colour = 'blue'") == [1]
    assert found("\"Colour\" = 'blue' AND item.colour = 'red'") == [1]
    with pytest.raises(VdistillError, match="may be any of the columns Colour, colour"):
        found("COLOUR = 'blue'")
    assert wares([{"Price": 5}])("price = 5") == [0]


def test_lists_are_looked_into(wares):
    found = wares([{"tags": ["red", "garden"]}, {"tags": ["redder"]}, {"tags": "red"}, {"sizes": [38, 40]}, {}])
    assert found("has(tags, 'red')") == [0, 2]
    assert found("has(sizes, 40)") == [3]
    assert found("NOT has(tags, 'red')") == [1]
    assert wares([{"tags": ["x"]}, {"tags": ["y"]}, {}])(
        "EXISTS (SELECT 1 FROM json_each(tags) WHERE value = 'x')"
    ) == [0]


@pytest.mark.parametrize(
    "expression",
    [
        "(SELECT count(*) FROM items) > 0",
        "1 IN (SELECT key FROM main.items)",
        "EXISTS (SELECT 1 FROM columns)",
        "_key >= 0",
        "mtime_ns > 0",
        "rowid > 0",
        "1) OR (1",
        "1) UNION SELECT 7 WHERE (1",
        "price < ?",
        "price < :p0",
        "length(printf('%1000000000d', 1)) > 5",
        "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n) > 0",
        "price < 5 \0",
    ],
)
def test_names_of_ours_parameters_and_endless_work_are_refused(wares, expression):
    with pytest.raises(VdistillError, match="--where"):
        wares([{"price": 5}])(expression)


def test_more_columns_than_sqlite_can_select_can_be_filtered(wares):
    assert wares([{f"c{n}": n for n in range(3000)}])("c2999 = 2999 AND c0 = 0") == [0]


def test_the_items_of_an_older_version_are_filtered_by_the_same_rules(tmp_path):
    path = write_items(tmp_path / "items.db", [row(0, "a.jpg", {"price": "5.00"}), row(1, "b.jpg", {"price": "50"})])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE columns")
        connection.execute("CREATE TABLE columns (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID")
        connection.execute("INSERT INTO columns VALUES ('price')")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert matching_keys(connection, "price < 20").tolist() == [0]

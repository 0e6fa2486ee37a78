"""A `--where` expression means the same in a database as in the local index."""

import contextlib
import uuid

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexes import unit, write_index
from vdistill.bundle.store import Store
from vdistill.databases.address import parse
from vdistill.databases.engine import Nearest
from vdistill.databases.opening import open_database
from vdistill.databases.push import push
from vdistill.databases.where import condition_of
from vdistill.query.filters import matching_keys

COUNT = 60


def row(n):
    """Every kind of column, with missing values in each."""
    known = {
        "price": n / 4, "code": f"{n:03}", "new": bool(n % 3), "added": f"2024-0{1 + n % 9}-11",
        "sold": f"2024-05-{1 + n % 28:02} 10:00", "tags": ["garden", f"t{n % 5}"], "odd name!": n,
        "mixed": n if n % 2 else f"x{n}", "title": f"{'Red' if n % 2 else 'blue'} can {n}",
    }  # fmt: skip
    return {name: value for place, (name, value) in enumerate(known.items()) if (n + place) % 7}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    write_index(folder, unit(COUNT, 16), metadata=row)
    with contextlib.closing(Store.open(folder, "student")) as store:
        yield store


def matcher(store, address):
    """The ids that a database finds for an expression, and the database."""
    push(store, "student", parse(address))
    database = open_database(parse(address), reading=True)
    (version,) = database.versions()

    def found(expression):
        condition = condition_of(expression, version.columns, database.engine, database.can)
        return {one.id for one in database.nearest(version, Nearest(np.eye(16, dtype=np.float32)[0], 999, condition))}

    return database, found


@pytest.fixture(scope="module")
def postgresql(store, postgres):
    database, found = matcher(store, postgres.url(f"t{uuid.uuid4().hex[:12]}"))
    yield found
    database.close()


@pytest.fixture(scope="module")
def qdrant(store, tmp_path_factory):
    pytest.importorskip("qdrant_client")
    database, found = matcher(store, f"qdrant+path:{tmp_path_factory.mktemp('qdrant')}")
    yield found
    database.close()


def locally(store, expression):
    keys = store.items.use(lambda items: matching_keys(items, expression))
    return {one.id for one in store.items.rows_of(keys).values()}


NUMBERS = st.integers(-2, 20).map(str) | st.sampled_from(["2.5", "'3'", "1e1"])
DATES = st.sampled_from(["'2024'", "'2024-05'", "'2024-05-11'", "'2024-03-11'", "'2023-12-31'"])
TIMES = st.sampled_from(["'2024'", "'2024-05-07'", "'2024-05-07 10:00:00'", "'2024-05-20 09:59:59'"])
ORDER = st.sampled_from(["<", "<=", ">", ">=", "=", "!=", "<>"])
EQUAL = st.sampled_from(["=", "!=", "=="])
COLUMNS = st.sampled_from(["price", "code", "new", "added", "sold", "tags", "`odd name!`", "mixed", "title"])


def joined(*parts):
    return st.tuples(*(one if hasattr(one, "map") else st.just(one) for one in parts)).map(" ".join)


LEAVES = st.one_of(
    joined("price", ORDER, NUMBERS),
    joined(NUMBERS, ORDER, "`odd name!`"),
    joined("price BETWEEN", NUMBERS, "AND", NUMBERS),
    joined("price", st.sampled_from(["IN", "NOT IN"]), st.sampled_from(["(1, 2.5)", "('3')", "(0)"])),
    joined("code", EQUAL, st.sampled_from(["'007'", "'7'", "7"])),
    joined("code", st.sampled_from(["IN", "NOT IN"]), "('001', '009')"),
    joined("added", st.sampled_from(["<", ">", ">=", "<="]), DATES),
    joined("sold", st.sampled_from(["<", ">", ">=", "<="]), TIMES),
    joined("mixed", EQUAL, st.sampled_from(["'x4'", "5", "5.0"])),
    joined(COLUMNS, st.sampled_from(["IS NULL", "IS NOT NULL", "NOTNULL", "= NULL"])),
    st.sampled_from(
        [
            "new",
            "NOT new",
            "new = 1",
            "new IS NOT TRUE",
            "price",
            "has(tags, 't3')",
            "has(title, 'x')",
            "id = '00003'",
            "has(price, 5)",
            "TRUE",
            "0",
        ]
    ),
)
POSTGRES_ALONE = st.one_of(
    joined("title", st.sampled_from(["LIKE", "NOT LIKE"]), st.sampled_from(["'%RED%'", "'b_ue%'", "'%\\%'"])),
    joined("title", st.sampled_from(["<", ">="]), st.sampled_from(["'a'", "'S'"])),
    joined("number(mixed)", ORDER, st.integers(-2, 20).map(str)),
    joined("number(code)", ORDER, st.sampled_from(["2.5", "7"])),
)


def trees(leaves):
    return st.recursive(
        leaves,
        lambda part: joined("(", part, st.sampled_from(["AND", "OR"]), part, ")") | joined("NOT (", part, ")"),
        max_leaves=5,
    )


SLOW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@SLOW
@given(expression=trees(LEAVES | POSTGRES_ALONE))
def test_postgresql_means_what_sqlite_means(store, postgresql, expression):
    assert postgresql(expression) == locally(store, expression)


@SLOW
@given(expression=trees(LEAVES))
def test_qdrant_means_what_sqlite_means(store, qdrant, expression):
    assert qdrant(expression) == locally(store, expression)


@pytest.mark.parametrize("expression", ["title LIKE '%red%'", "title < 'm'", "number(mixed) < 3"])
def test_what_qdrant_cannot_answer_is_refused_by_its_name(qdrant, expression):
    with pytest.raises(Exception, match="Qdrant cannot answer"):
        qdrant(expression)

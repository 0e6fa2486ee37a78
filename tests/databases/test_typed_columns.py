"""PostgreSQL has metadata as columns with types, and what docs/databases.md promises to those who write SQL is so."""

import contextlib
import datetime
import re
import uuid
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from indexes import unit, write_index
from vdistill.bundle import manifest
from vdistill.bundle.store import Store
from vdistill.databases.address import parse
from vdistill.databases.push import push

COUNT, DIM = 30, 16
DOCS = Path(__file__).parents[2] / "docs" / "databases.md"


def metadata(n):
    return {"title": f"mug {n}", "price": n + 0.5, "sale": n % 3 == 0, "added": f"2024-05-{n + 1:02}",
            "seen": f"2024-05-{n + 1:02}T18:00:00+02:00", "size": n if n % 2 else "large", "ID": f"x{n}",
            "net weight": n}  # fmt: skip


@pytest.fixture
def table(postgres, tmp_path):
    """The name of a view of such items."""
    write_index(tmp_path / "index", unit(COUNT, DIM), metadata=metadata)
    name = f"t{uuid.uuid4().hex[:12]}"
    pushed(postgres.url(name), tmp_path)
    return name


def pushed(address, tmp_path, model=""):
    entry = replace(manifest.read(tmp_path / "index")["student"], model_fingerprint=model)
    manifest.write(tmp_path / "index", {"student": entry})
    with contextlib.closing(Store.open(tmp_path / "index", "student")) as store:
        return push(store, "student", parse(address))


def types(postgres, relation):
    """The type of each column, by name."""
    return dict(
        postgres.sql(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            relation,
        )
    )


def promised(start, table):
    """A statement that the docs show, about the table of the tests."""
    (found,) = re.findall(f"`({start} [^`]*)`", DOCS.read_text(encoding="utf-8"))
    return found.replace("vdistill", table)


def test_each_column_has_the_type_of_its_values(postgres, table):
    assert {"title": "text", "price": "numeric", "sale": "boolean", "added": "date",
            "seen": "timestamp without time zone", "size": "jsonb", "metadata": "json",
            "vector": f"halfvec({DIM})"}.items() <= types(postgres, table).items()  # fmt: skip
    assert {"words": "tsvector", "lists": "jsonb", "stamp": "bytea"}.items() <= types(postgres, f"{table}_v1").items()
    declared = dict(
        postgres.sql("SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_name = %s",
                     table)
    )  # fmt: skip
    assert (declared["price"], declared["sale"], declared["vector"]) == ("numeric", "boolean", "USER-DEFINED")
    row = postgres.sql(f"SELECT title, price, sale, added, seen, size FROM {table} WHERE id = '00003'")
    assert row == [("mug 3", Decimal("3.5"), True, datetime.date(2024, 5, 4),
                    datetime.datetime(2024, 5, 4, 16, 0), 3)]  # fmt: skip
    assert postgres.sql(f"SELECT size FROM {table} WHERE id = '00004'") == [("large",)]


def test_vectors_have_an_hnsw_index_for_cosines_and_words_have_one_too(postgres, table):
    defined = dict(postgres.sql("SELECT indexname::text, indexdef FROM pg_indexes WHERE tablename = %s", f"{table}_v1"))
    assert "USING hnsw (vector halfvec_cosine_ops)" in defined[f"{table}_v1_vector"]
    assert "USING gin (words)" in defined[f"{table}_v1_words"]
    assert len(defined) == 3  # and that of the ids
    assert postgres.sql("SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = %s::regclass",
                        f"{table}_v1") == [(True,)]  # fmt: skip


def test_the_view_answers_sql(postgres, table):
    assert sorted(postgres.sql(promised("SELECT id FROM", table))) == [(f"{n:05}",) for n in range(20)]
    assert postgres.sql(f"SELECT count(*), avg(price) FROM {table} WHERE NOT sale AND added < '2024-05-11'") == [
        (6, Decimal("5"))
    ]
    assert postgres.sql(f"SELECT count(*) FROM {table} WHERE seen >= '2024-05-30 16:00'") == [(1,)]
    assert postgres.sql(f"SELECT count(*) FROM {table} WHERE jsonb_typeof(size) = 'number'") == [(15,)]
    assert postgres.sql(f"SELECT metadata->>'net weight' FROM {table} WHERE id = '00007'") == [("7",)]
    near = f"SELECT id FROM {table} ORDER BY vector <=> (SELECT vector FROM {table} WHERE id = '00009') LIMIT 1"
    assert postgres.sql(near) == [("00009",)]


def test_a_name_that_a_database_does_not_take_gets_another(postgres, table):
    others = sorted(name for name in types(postgres, table) if name.startswith("column_"))
    assert [re.sub("_[0-9a-f]+$", "", name) for name in others] == ["column_id", "column_net_weight"]
    assert postgres.sql(f"SELECT {', '.join(others)} FROM {table} WHERE id = '00003'") == [("x3", Decimal("3"))]


def test_the_versions_are_in_a_table_and_an_index_of_ones_own_goes_with_its_version(postgres, table, tmp_path):
    versions = f"SELECT number, live, facts->>'dim' FROM vdistill_versions WHERE name = '{table}'"
    assert postgres.sql(versions) == [(1, True, str(DIM))]
    postgres.sql(f"CREATE INDEX {table}_price ON {table}_v1 (price)")
    assert pushed(postgres.url(table), tmp_path, "another").swapped
    assert postgres.sql(versions) == [(2, True, str(DIM))]
    assert postgres.sql(f"SELECT to_regclass('{table}_price'), to_regclass('{table}_v1')") == [(None, None)]
    assert len(postgres.sql(promised("SELECT id FROM", table))) == 20

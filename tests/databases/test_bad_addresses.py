"""What goes wrong with databases: one clear line, one hint, and never a password."""

import contextlib
import gc
import shutil
import sys
import uuid

import pytest

from command_line import errors, vdistill
from indexes import unit, write_index
from postgres_servers import PASSWORD, QUOTED
from vdistill.bundle.store import Store
from vdistill.databases.address import parse
from vdistill.databases.opening import open_database
from vdistill.databases.push import push
from vdistill.errors import VdistillError

SECRET = "hunter2"


@pytest.fixture
def home(indexed, tmp_path):
    shutil.copytree(indexed, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def store(tmp_path):
    write_index(tmp_path / "index", unit(50, 16))
    with contextlib.closing(Store.open(tmp_path / "index", "student")) as store:
        yield store


def failed(home, *arguments, **more):
    done = vdistill(*arguments, cwd=home, **more)
    assert done.code == 1, (done.out, done.err)
    said = "\n".join(errors(done))
    for secret in (SECRET, PASSWORD, QUOTED):
        assert secret not in said
    return said


def both(home, address, **more):
    """What `index --to` and `query --from` say, which is much the same."""
    to = failed(home, "index", "catalog", "--model", "backbone", "--to", address, "--quiet", "--json", **more)
    return to, failed(home, "query", "x", "--from", address, **more)


@pytest.mark.parametrize(
    "address",
    [f"postgresql://u:x@{SECRET}@h/db", f"postgresql://u:x/{SECRET}@h/db", f"postgresql://u:1?{SECRET}@h/db",
     f"mysql://u:{SECRET}@h/db", f"u:{SECRET}@h/db", f"qdrant://u:{SECRET}@h", f"postgresql://u:{SECRET}@h:port/db",
     f"postgresql://u:{SECRET}@h/db?sslmood=1", f"postgresql://u:{SECRET}%zz@h/db", f"qdrant://h/x?key={SECRET}"],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_not_quoted(home, address):
    if address.startswith("postgresql"):
        pytest.importorskip("psycopg")
    assert all("hint: " in said for said in both(home, address))
    debug = vdistill("query", "x", "--from", address, "--debug", cwd=home)
    assert SECRET not in debug.err


def test_credentials_that_are_missing_or_wrong_are_named(home, postgres, monkeypatch, tmp_path):
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for said in both(home, postgres.url(user="shop")):
        assert "asks for a password" in said
        assert "PGPASSWORD" in said
        assert "~/.pgpass" in said
    for said in both(home, postgres.url(user=f"shop:{SECRET}")):
        assert "the password is wrong" in said
    assert "no such database" in both(home, postgres.url(database="shpo"))[0]
    assert "cannot be reached" in both(home, "postgresql://shop@127.0.0.1:1/shop")[0]


def test_passwords_may_come_from_the_environment_or_a_file(home, postgres, monkeypatch, tmp_path):
    address = postgres.url(f"t{uuid.uuid4().hex[:12]}", user="shop")
    arguments = ["index", "catalog", "--model", "backbone", "--to", address, "--json"]
    done = vdistill(*arguments, cwd=home, env={"PGPASSWORD": PASSWORD})
    assert done.code == 0, done.err
    file = tmp_path / "pgpass"
    file.write_text(f"127.0.0.1:{postgres.port}:shop:shop:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    assert vdistill(*arguments, cwd=home, env={"PGPASSFILE": str(file)}).json["to"]["unchanged"] == 24


def test_a_password_is_kept_nowhere(home, postgres):
    address = postgres.url(f"t{uuid.uuid4().hex[:12]}")
    done = vdistill("index", "catalog", "--model", "backbone", "--to", address, "--json", "--debug", cwd=home)
    assert done.code == 0, done.err
    found = vdistill("query", "x", "--from", address, "--debug", cwd=home)
    for said in (done.out, done.err, found.out, found.err):
        assert PASSWORD not in said
        assert QUOTED not in said
    for path in (home / ".vdistill").rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes()
            assert QUOTED.encode() not in path.read_bytes()
    facts = str(postgres.sql("SELECT facts FROM vdistill_versions"))
    assert PASSWORD not in facts


def test_a_server_that_may_only_be_read(home, store, postgres):
    name = f"t{uuid.uuid4().hex[:12]}"
    push(store, "student", parse(postgres.url(name)))
    postgres.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    postgres.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    reader = postgres.url(name, user=f"{name}:{SECRET}")
    assert "GRANT" in failed(home, "index", "catalog", "--model", "backbone", "--to", reader, "--quiet", "--json")
    with contextlib.closing(open_database(parse(reader), reading=True)) as database:
        assert [version.live for version in database.versions()] == [True]
    postgres.sql(f"ALTER ROLE {name} SET default_transaction_read_only = on")
    said = failed(home, "index", "catalog", "--model", "backbone", "--to", reader, "--quiet", "--json")
    assert "read-only" in said
    assert "name the primary" in said


def test_a_database_without_the_extension(home, postgres):
    name = f"t{uuid.uuid4().hex[:12]}"
    postgres.sql(f"CREATE DATABASE {name}", database="postgres")
    postgres.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    postgres.sql(f"GRANT CREATE ON SCHEMA public TO {name}", database=name)
    address = postgres.url(database=name, user=f"{name}:{SECRET}")
    said = failed(home, "index", "catalog", "--model", "backbone", "--to", address, "--quiet", "--json")
    assert "pgvector" in said
    assert "CREATE EXTENSION" in said
    assert "no vectors" in failed(home, "query", "x", "--from", address)


def test_a_table_of_someone_else_is_left_alone(store, postgres):
    name = f"t{uuid.uuid4().hex[:12]}"
    postgres.sql(f"CREATE TABLE {name} (x int)")
    with pytest.raises(VdistillError, match="which vdistill did not make"):
        push(store, "student", parse(postgres.url(name)))
    assert postgres.sql(f"SELECT count(*) FROM {name}") == [(0,)]


def test_a_collection_of_someone_else_is_left_alone(store, tmp_path):
    pytest.importorskip("qdrant_client")
    from qdrant_client import QdrantClient, models

    folder = str(tmp_path / "qdrant")
    client = QdrantClient(path=folder, force_disable_check_same_thread=True)  # the check leaves a connection open
    size = models.VectorParams(size=3, distance="Cosine")
    client.create_collection("vdistill", vectors_config=size)
    client.close()
    with pytest.raises(VdistillError, match="which vdistill did not make"):
        push(store, "student", parse(f"qdrant+path:{folder}"))


def test_what_was_dropped_by_hand_is_made_again(store, postgres):
    name = f"t{uuid.uuid4().hex[:12]}"
    address = parse(postgres.url(name))
    push(store, "student", address)
    postgres.sql(f"DROP VIEW {name}")
    assert push(store, "student", address).unchanged == 50
    postgres.sql(f"DROP TABLE {name}_v1 CASCADE")
    assert push(store, "student", address).added == 50
    assert postgres.sql(f"SELECT count(*) FROM {name}") == [(50,)]


def test_two_writers_at_once(store, address):
    with contextlib.closing(open_database(parse(address), reading=False)) as first, first.writing():
        with pytest.raises(VdistillError) as caught:
            push(store, "student", parse(address))
        assert "another" in caught.value.message
        assert "wait for it" in caught.value.hint
        del caught
        gc.collect()  # a file that the refused one left open is reported now, which fails the test
    assert push(store, "student", parse(address)).added == 50


def test_a_folder_that_cannot_be_opened(home, tmp_path):
    pytest.importorskip("qdrant_client")
    (tmp_path / "file").write_text("x")
    assert "cannot be opened" in failed(
        home, "index", "catalog", "--model", "backbone", "--to", f"qdrant+path:{tmp_path / 'file'}", "--quiet", "--json"
    )
    assert "there are no vectors" in failed(home, "query", "x", "--from", f"qdrant+path:{tmp_path / 'gone'}")
    assert "cannot be reached" in failed(home, "query", "x", "--from", "qdrant://127.0.0.1:1",
                                         env={"QDRANT_API_KEY": SECRET})  # fmt: skip


@pytest.mark.parametrize(("address", "package", "extra"), [("postgresql://h/db", "psycopg", "postgres"),
                                                           ("qdrant://h", "qdrant_client", "qdrant")])  # fmt: skip
def test_a_missing_package_is_named_with_its_extra(home, monkeypatch, address, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    assert all(f"pip install 'vdistill[{extra}]'" in said for said in both(home, address))


def test_every_refusal_of_an_address_leaves_the_index_as_it_was(home):
    before = (home / ".vdistill" / "index" / "manifest.json").stat().st_mtime_ns
    failed(home, "index", "catalog", "--model", "backbone", "--to", "mysql://h/db")
    assert (home / ".vdistill" / "index" / "manifest.json").stat().st_mtime_ns == before

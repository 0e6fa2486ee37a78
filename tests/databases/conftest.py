"""A PostgreSQL server of the session, and an address of its own in each engine for each test."""

import gc
import uuid
import warnings

import pytest

from command_line import index_drawn
from postgres_servers import Cluster, missing


@pytest.fixture(scope="session")
def postgres():
    if why := missing():
        pytest.skip(why)
    cluster = Cluster.make()
    try:
        yield cluster.primary()
    finally:
        cluster.close()


@pytest.fixture(params=["postgresql", "qdrant"])
def address(request, tmp_path):
    """Where nothing is yet."""
    if request.param == "postgresql":
        yield request.getfixturevalue("postgres").url(f"t{uuid.uuid4().hex[:12]}")
        return
    pytest.importorskip("qdrant_client")
    yield f"qdrant+path:{tmp_path / 'qdrant'}"
    with warnings.catch_warnings():  # its engine forgets to close what was deleted, of which Python 3.13 warns
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Client:
    """A client of the shared engine.  before: called with the name of each method that is called."""

    def __init__(self, engine, before):
        self._engine, self._before = engine, before

    def __getattr__(self, name):
        def call(*arguments, **more):
            self._before(name)
            return getattr(self._engine, name)(*arguments, **more)

        return call

    def close(self):
        """The engine outlives its clients."""


@pytest.fixture
def shared_qdrant(monkeypatch):
    """Lets `qdrant://HOST` be the client's own engine in memory, the same for all; what is called before each call."""
    qdrant = pytest.importorskip("qdrant_client")
    engine, hooks = qdrant.QdrantClient(":memory:"), [lambda name: None]
    monkeypatch.setattr(qdrant, "QdrantClient", lambda **_: Client(engine, lambda name: hooks[-1](name)))
    yield hooks
    engine.close()


@pytest.fixture(scope="session")
def indexed(tmp_path_factory, clip_folder):
    """A catalog with the backbone's index."""
    return index_drawn(tmp_path_factory.mktemp("indexed"), clip_folder)

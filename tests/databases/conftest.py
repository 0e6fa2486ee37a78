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


@pytest.fixture(scope="session")
def indexed(tmp_path_factory, clip_folder):
    """A catalog with the backbone's index."""
    return index_drawn(tmp_path_factory.mktemp("indexed"), clip_folder)

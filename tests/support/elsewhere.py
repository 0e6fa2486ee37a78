"""What tests of catalogs elsewhere share."""

import pytest

from s3_server import S3Server
from vdistill.sources import remote
from vdistill.sources.cache import use_cache


@pytest.fixture
def s3(monkeypatch, tmp_path):
    """A bucket on loopback, whose credentials are in the environment."""
    pytest.importorskip("s3fs", reason="needs vdistill[s3]")
    with S3Server() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no credentials"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no configuration"))
        monkeypatch.setattr(remote, "_systems", {})
        yield server
    use_cache(None, 0)

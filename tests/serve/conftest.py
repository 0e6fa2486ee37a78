"""Servers that many tests ask; `served` skips where the extra is not installed, so it is imported late."""

import pytest


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    from served import unpack_shop

    return unpack_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def large_shop(tmp_path_factory):
    from served import unpack_large_shop

    return unpack_large_shop(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="session")
def site(shop):
    from served import served

    with served(shop) as site:
        yield site


@pytest.fixture(scope="session")
def large_site(large_shop):
    from served import served

    with served(large_shop) as site:
        yield site


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A shop whose student was taught by judgments."""
    from sittings import judged_shop

    return judged_shop(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="module")
def explaining(judged):
    from served import served

    with served(judged, why=True) as site:
        yield site


@pytest.fixture
def page(chromium):
    return chromium.page()

"""The judge page in a real browser: by keyboard, for everyone to read, and when something is in the way."""

import json
import time

import pytest

from browser import BROWSER
from sittings import judgments_of, plain_shop, sitting, stored

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium")]
READY = "document.querySelector('#asking')?.hidden === false && !document.querySelector('.loading')"
KEY = "document.querySelector('#images').dataset.key"
DONE = "document.querySelector('#done').textContent"
HOSTILE = '<img src=x onerror=alert(1)> & "quotes" it\'s <script>alert(2)</script>'


@pytest.fixture
def home(tmp_path):
    return plain_shop(tmp_path)


def opened(chromium, page, **look):
    tab = chromium.page(**look)
    tab.go(page.address)
    tab.wait(READY)
    return tab


def press(tab, key):
    """Press a key once the question can be answered, and wait for the next one."""
    before = tab.do(KEY)
    time.sleep(0.13)
    tab.press(key)
    tab.wait(f"{KEY} != {json.dumps(before)} || document.querySelector('#asking').hidden")
    if not tab.do("document.querySelector('#asking').hidden"):
        tab.wait(READY)


def offline(tab, lost):
    """Cut the network, or mend it."""
    unlimited = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    tab.call("Network.emulateNetworkConditions", offline=lost, **unlimited)


def test_fifty_judgments_by_keyboard_and_the_sitting_ends(home, chromium):
    with sitting(home, "anna", "--queries", "queries.txt") as page:
        tab = opened(chromium, page)
        assert page.token not in tab.do("location.href")
        keys = 0
        while tab.do("document.querySelector('#end').hidden"):
            press(tab, "0" if keys % 10 == 9 else str(1 + keys % 8))
            keys += 1
            assert keys <= 50
        assert keys == 50
        assert tab.do("document.querySelector('#end-head').textContent") == "Done: 50 answers"
        assert not tab.axe()
        tab.press("u")
        tab.wait(READY)
        press(tab, "1")
        tab.press("Enter")
        tab.wait("document.querySelector('#note-head').textContent == 'Thank you'")
        page.process.join(30)
        assert page.process.exitcode == 0
        assert not tab.complaints()
        hosts = {one.split("/")[2] for one in tab.requests() if not one.startswith(("data:", "blob:"))}
        assert hosts == {page.address.split("/")[2]}
    assert len(judgments_of(home)) + len(stored(home, "SELECT * FROM rejections")) == 50


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 320])
def test_all_can_read_it_on_any_screen(home, chromium, width, dark):
    (home / "hostile.txt").write_text(HOSTILE + "\nsomething red\n")
    with sitting(home, "anna", "--queries", "hostile.txt", "--holdout", "0.1") as page:
        tab = opened(chromium, page, width=width, dark=dark)
        while tab.do("document.querySelector('#query').textContent") != HOSTILE:
            press(tab, "s")
        assert not tab.axe()
        assert tab.do("document.scrollingElement.scrollWidth <= innerWidth")
        assert not tab.complaints()
        # Undo and None by mouse, and keys that are turned off.
        tab.do("document.querySelector('#none').click()")
        tab.wait(f"{DONE}.startsWith('1 of')")
        tab.wait(READY)
        tab.do("document.querySelector('#keys').click()")
        tab.press("1")
        time.sleep(0.3)
        assert tab.do(DONE).startswith("1 of")
        tab.do("document.querySelector('#keys').click()")
        tab.do("document.querySelector('#undo').click()")
        tab.wait(f"{DONE}.startsWith('0 of')")


def test_the_answer_is_kept_while_the_server_is_away(home, chromium):
    with sitting(home, "anna", "--queries", "queries.txt") as page:
        tab = opened(chromium, page)
        time.sleep(0.15)
        tab.call(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        tab.press("2")
        tab.wait("!document.querySelector('#trouble').hidden")
        assert "Your answer is kept" in tab.do("document.querySelector('#trouble').textContent")
        assert not tab.axe()
        tab.press("3")  # not instead of the one that is kept
        tab.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        tab.do("document.querySelector('#trouble-act').click()")
        tab.wait(f"{DONE}.startsWith('1 of')")
        assert tab.do("document.querySelector('#trouble').hidden")
        assert [chances.index(1.0) for _, _, chances in judgments_of(home)] == [1]


def test_two_tabs_and_a_lost_token(home, chromium):
    with sitting(home, "anna", "--queries", "queries.txt") as page:
        first, second = opened(chromium, page), chromium.page()
        second.go(page.address)
        second.wait("document.querySelector('#note-head').textContent.includes('another tab')")
        assert not second.axe()
        second.do("document.querySelector('#note-act').click()")
        second.wait(READY)
        time.sleep(0.15)
        first.press("1")
        first.wait("document.querySelector('#note-head').textContent.includes('another tab')")
        assert not judgments_of(home)
        second.go("about:blank")  # it leaves
        first.do("location.reload()")
        first.wait(READY)
        stranger = chromium.page()
        stranger.go(page.address.split("#")[0])
        stranger.wait("document.querySelector('#note-head').textContent.includes('token')")

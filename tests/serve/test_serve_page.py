"""The search page in a real browser: what it shows, by keyboard and by hand, and what happens when things go wrong."""

import threading
import time
from urllib.parse import urlsplit

import pytest

from browser import BROWSER
from served import know_fits, served, unpack_large_shop, unpack_shop
from vdistill.query.second_stage import in_order

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium")]
DESKTOP, PHONE, NARROW = (1280, 900), (375, 812), (320, 640)  # px
IDS = "[...document.querySelectorAll('#results .card:not(.blank)')].map((one) => one.dataset.id)"
READY = f"({IDS}).length > 0 && !document.documentElement.classList.contains('busy')"
HOSTILE = '<img src="x" onerror="window.broken = true"><script>window.broken = true</script>'


class Backwards:
    """A second stage that turns the first eight results around, once it may go on; for some words it is too late."""

    depth, spent = 8, (0, 0.0)

    def __init__(self):
        self.asked, self.go_on = [], threading.Event()

    def rerank(self, text, hits, k):
        self.asked.append(text)
        assert self.go_on.wait(20)
        if "late" in text:
            return in_order(hits, [], k, notice="the teacher did not answer within 1 s: the order is the student's")
        order = [hit.id for hit in reversed(hits[: self.depth])]
        return in_order(hits, order, k, judged=len(order), calls=5, cost_usd=0.0021)

    def close(self):
        self.go_on.set()


@pytest.fixture(scope="module")
def knowing_site(tmp_path_factory):
    """A server that has what is not always there: fits, a teacher in front, and thumbs."""
    home = know_fits(unpack_shop(tmp_path_factory.mktemp("knowing")))
    with served(home, second=Backwards(), feedback=True) as site:
        yield site


def base(site):
    return f"http://127.0.0.1:{site.port}"


def search(page, site, address, ready=READY):
    page.go(base(site) + address)
    page.wait(ready)
    return page.do(IDS)


def ids(site, path):
    return [one["id"] for one in site.get(path).json()["results"]]


STATES = {
    "start": ("/", READY),
    "results": ("/?q=red+mug", READY),
    "filtered": ("/?q=red&to.price=20&where=price+%3E+1", READY),
    "similar": ("/?like=red_mug.png&q=blue", READY),
    "compare": ("/?q=red+mug&compare=1", READY),
    "details": ("/?q=red+mug&item=red_mug.png", "!!document.querySelector('#details[open] .plate.here')"),
    "help": ("/?q=red+mug&help", READY),
    "empty": ("/?q=red+mug&where=price+%3C+0", "!!document.querySelector('#note .note')"),
    "error": ("/?q=red+mug&where=prise+%3C+20", "!!document.querySelector('.trouble')"),
}


@pytest.mark.parametrize(
    ("size", "dark"),
    [(DESKTOP, False), (DESKTOP, True), (PHONE, False), (PHONE, True), (NARROW, True)],
    ids=["desktop-light", "desktop-dark", "phone-light", "phone-dark", "narrow-dark"],
)
def test_every_state_is_for_everybody(site, chromium, size, dark):
    page = chromium.page(*size, dark)
    found = []
    for name, (address, ready) in STATES.items():
        search(page, site, address, ready)
        if name == "help":
            page.do("document.getElementById('help').click()")
        if name == "filtered" and size != DESKTOP:
            found += [f"results: {one}" for one in page.axe()]
            page.do("document.getElementById('filters-button').click()")
        found += [f"{name}: {one}" for one in page.axe()]
        wider = page.do("document.scrollingElement.scrollWidth - innerWidth")
        found += [f"{name}: {wider} px too wide"] if wider > 0 else []
    assert not found
    assert page.do("getComputedStyle(document.body).colorScheme") == ("dark" if dark else "light")
    assert not [one for one in page.complaints() if "status of 400" not in one]


def test_results_are_those_of_the_api_and_nothing_is_loaded_from_elsewhere(site, page):
    found = search(page, site, "/?q=red+mug&k=10")
    assert found == ids(site, "/v1/search?query=red+mug&k=10")
    page.wait("[...document.querySelectorAll('.plate')].slice(0, 4).every((one) => one.matches('.here'))")
    there = "['fit-filter', 'rerank', 'teacher'].filter((one) => !document.getElementById(one).hidden).length"
    assert page.do(f"{there} + document.querySelectorAll('.fit:not(:empty), #unfit:not(:empty)').length") == 0
    search(page, site, "/?q=red+mug&compare=1")
    search(page, site, "/?like=red_mug.png")
    schemes = {urlsplit(one).scheme for one in page.requests()} - {"blob", "data"}
    assert schemes == {"http"}
    assert {urlsplit(one).netloc for one in page.requests() if one.startswith("http")} == {f"127.0.0.1:{site.port}"}
    assert not page.complaints()


def test_it_can_be_used_by_keyboard_alone(site, page):
    search(page, site, "/")
    page.press("/")
    page.type("red mug")
    page.wait("location.search === '?q=red+mug' && document.querySelector('.rank').textContent === '#1'")
    found = ids(site, "/v1/search?query=red+mug&k=24")
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({found!r})")
    here = "document.activeElement.closest('.card')?.dataset.id"
    page.press("ArrowDown")
    assert page.do(here) == found[0]
    page.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert page.do(here) == found[1]
    assert page.do("getComputedStyle(document.activeElement.closest('.card')).outlineStyle") == "solid"
    page.press("ArrowDown")
    below = found.index(page.do(here))
    assert below > 1
    page.press("ArrowUp", "End")
    assert page.do(here) == found[-1]
    page.press("Home", "Enter")
    page.wait("document.getElementById('details').open")
    assert page.do("new URLSearchParams(location.search).get('item')") == found[0]
    page.press("ArrowRight")
    page.wait(f"new URLSearchParams(location.search).get('item') === {found[1]!r}")
    page.press("Escape")
    page.wait("!document.getElementById('details').open && location.search === '?q=red+mug'")
    assert page.do(here) == found[1], "the focus is where the arrows led"
    page.press("ArrowUp")
    assert page.do("document.activeElement.id") == "words"
    page.press("ArrowDown", "?")
    page.wait("document.getElementById('help-dialog').open")
    page.press("Escape", "c")
    page.wait("document.querySelectorAll('#results.two .card').length > 1")
    page.press("c", "ArrowDown")
    page.wait("!document.querySelector('#results.two')")
    page.press("/", "ArrowDown", "m")
    page.wait("new URLSearchParams(location.search).get('like')")
    page.wait("document.querySelector('#with .token .name').textContent.startsWith('like ')")
    page.press("Escape", "Escape")
    page.wait("location.search === ''")


def test_single_keys_can_be_turned_off(site, page):
    search(page, site, "/?q=red")
    page.do("document.getElementById('help').click()")
    page.do("document.getElementById('single-keys').click()")
    page.press("Escape")
    page.press("c", "?")
    assert page.do("document.querySelectorAll('#results.two, dialog[open]').length") == 0


def test_an_answer_that_newer_words_overtook_is_dropped(site, page, monkeypatch):
    from vdistill.serve.answers import Answers

    answer, slow = Answers.search, []

    def late(self, asked):
        if asked.text == "blue":
            slow.append(asked.text)
            time.sleep(1.0)
        return answer(self, asked)

    monkeypatch.setattr(Answers, "search", late)
    search(page, site, "/")
    page.do("document.getElementById('words').focus()")
    page.type("blue")
    page.until(lambda: slow)
    page.type(" mug")
    expected = ids(site, "/v1/search?query=blue+mug&k=24")
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({expected!r})")
    time.sleep(1.2)
    assert page.do(IDS) == expected
    assert not page.complaints()


def test_back_and_an_address_restore_a_search(site, page, chromium):
    red = search(page, site, "/?q=red+mug&k=48")
    page.do("scrollTo(0, 300)")
    page.do("document.querySelector('#models input[value=both]').click()")
    page.wait("document.querySelector('#results.two') && location.search.includes('compare=1')")
    page.do("document.querySelector('[data-like]').click()")
    page.wait("location.search.includes('like=')")
    page.back()
    page.wait("document.querySelector('#results.two') && document.getElementById('words').value === 'red mug'")
    page.back()
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({red!r})")
    page.wait("scrollY === 300")
    page.do("history.go(2)")
    page.wait("location.search.includes('like=') && document.querySelector('#with .token')")
    page.wait(f"JSON.stringify({IDS}) !== JSON.stringify({red!r})")
    similar = page.do(IDS)
    other = chromium.page()
    other.go(page.do("location.href"))
    other.wait(READY)
    assert other.do(IDS) == similar


def test_filters_are_found_in_the_metadata(large_site, page):
    search(page, large_site, "/?q=thing")
    page.wait("document.querySelector('#choices input[value=old]')")
    page.do("document.querySelector('#choices input[value=old]').click()")
    page.wait("location.search.includes('pick.tags=old')")
    page.do("document.querySelector('#choices input[name=price][data-end=\"0\"]').focus()")
    page.type("35")
    page.wait("location.search.includes('from.price=35')")
    where = 'has("tags", \'old\') AND "price" >= 35'
    expected = ids(large_site, f"/v1/search?query=thing&k=24&where={where}")
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({expected!r})")
    assert page.do("[...document.querySelectorAll('.chip')].map((one) => one.innerText)") == ["old", "price from 35"]
    page.do("document.getElementById('where').focus()")
    page.type("prise < 20")
    page.wait("document.getElementById('where-error').textContent.includes('Did you mean price?')")
    assert page.do("document.getElementById('where').getAttribute('aria-invalid')") == "true"
    page.do("document.getElementById('clear').click()")
    page.wait("location.search === '?q=thing' && !document.querySelector('.trouble')")


def test_markup_in_metadata_stays_text(tmp_path, page):
    hostile = {"title": HOSTILE, HOSTILE: HOSTILE, "tags": [HOSTILE]}
    home = unpack_large_shop(
        tmp_path, 40, lambda n: {**hostile, "price": n} if n % 2 else {"title": "x", "tags": ["y"]}
    )
    with served(home) as site:
        search(page, site, "/?q=x")
        assert page.do(f"document.body.innerText.includes({HOSTILE!r})")
        page.do(f"[...document.querySelectorAll('.card')].find((one) => one.innerText.includes({HOSTILE!r}))"
                ".querySelector('a').click()")  # fmt: skip
        page.wait("document.getElementById('details').open")
        page.press("Escape")
        page.wait("document.querySelector('#choices input')")
        page.do(f"[...document.querySelectorAll('#choices input')].find((one) => one.value === {HOSTILE!r}).click()")
        page.wait("document.querySelector('.chip')")
        page.wait("[...document.querySelectorAll('.plate')].slice(0, 3).every((one) => one.matches('.gone'))")
        assert page.do("document.querySelectorAll('main script, main img[onerror], aside img').length") == 0
        assert page.do("window.broken") is None
        assert not [one for one in page.complaints() if "/v1/images/" not in one]


def test_an_index_that_vanishes_is_waited_for(tmp_path, page):
    with served(unpack_shop(tmp_path)) as site:
        search(page, site, "/?q=red")
        index = tmp_path / ".vdistill" / "index"
        index.rename(tmp_path / "away")
        page.until(lambda: site.get("/readyz").status_code == 503)
        page.do("document.getElementById('words').focus()")
        page.type(" mug")
        page.wait("document.querySelector('.trouble')?.innerText.includes('vdistill index')")
        (tmp_path / "away").rename(index)
        page.wait("!document.querySelector('.trouble') && location.search === '?q=red+mug'")
        expected = ids(site, "/v1/search?query=red+mug&k=24")
        page.wait(f"JSON.stringify({IDS}) === JSON.stringify({expected!r})")


def test_a_server_that_is_gone_is_said_and_asked_again(shop, page):
    with served(shop) as site:
        search(page, site, "/?q=red")
    page.do("document.getElementById('words').focus()")
    page.type(" mug")
    page.wait("document.querySelector('.trouble')?.innerText.includes('does not answer')")
    assert page.do(f"({IDS}).length") > 0, "what was found stays"
    with served(shop, port=site.port):
        page.wait("!document.querySelector('.trouble') && location.search === '?q=red+mug'")


LATE = """import("/app/token.js").then(({ askForToken }) => {
    let again = false;
    askForToken({ token: "", message: "The token is missing or wrong." }, () => { again = true; });
    return [again, document.getElementById("token-dialog").open, sessionStorage.getItem("vdistill.token")].join();
})"""


def test_a_token_is_asked_for_and_kept_in_the_tab_alone(shop, chromium):
    page = chromium.page()
    with served(shop, token="a long secret") as site:
        page.go(f"{base(site)}/?q=red")
        page.wait("document.getElementById('token-dialog').open")
        assert page.axe() == []
        page.type("wrong")
        page.press("Enter")
        page.wait("document.getElementById('token-error').textContent && document.getElementById('token-dialog').open")
        page.type("a long secret")
        page.press("Enter")
        page.wait("!document.getElementById('token-dialog').open")
        page.wait(READY)
        page.wait("document.querySelectorAll('.plate.here').length > 3")
        assert page.do("[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie].join()") == (
            '{"vdistill.token":"a long secret"},{},'
        )
        assert not [one for one in page.requests() if "secret" in one]
        assert page.do(LATE) == "true,false,a long secret", "what was refused before the token came asks with it"
        page.go(f"{base(site)}/?q=blue")
        page.wait(READY)


def test_an_image_is_searched_by_alone_and_with_words(site, shop, page):
    search(page, site, "/")
    image = shop / "catalog" / "red_mug.png"
    node = page.call("DOM.getDocument")["root"]["nodeId"]
    chosen = page.call("DOM.querySelector", nodeId=node, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=chosen, files=[str(image)])
    expected = site.post("/v1/search", files={"image": image.read_bytes()}, data={"k": 24}).json()["results"]
    found = [one["id"] for one in expected]
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({found!r})")
    page.do("document.getElementById('words').focus()")
    page.type("blue")
    both = site.post("/v1/search", files={"image": image.read_bytes()}, data={"k": 24, "query": "blue"}).json()
    found = [one["id"] for one in both["results"]]
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({found!r})")
    page.do("""const data = new DataTransfer(); data.items.add(new File(["text"], "a.txt", {type: "text/plain"}));
        dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true})); true""")
    page.wait("document.querySelector('.trouble')?.innerText.includes('no image')")
    page.call("Page.reload")
    page.wait("document.querySelector('.trouble')?.innerText.includes('no longer here')")


def test_what_moved_is_shown_side_by_side(site, page):
    search(page, site, "/?q=red+mug&compare=1&k=6")
    answer = site.get("/v1/compare?query=red+mug&k=6").json()
    for model in ("backbone", "student"):
        shown = page.do(
            f"[...document.querySelectorAll('section[data-model={model}] .card')].map((one) => one.dataset.id)"
        )
        assert shown == [one["id"] for one in answer[model]["results"]]
    ranks = {one["id"]: one["rank"] for one in answer["backbone"]["results"]}
    signs = page.do("[...document.querySelectorAll('section[data-model=student] .moved')].map((one) => one.className)")
    expected = []
    for one in answer["student"]["results"]:
        was = ranks.get(one["id"])
        kind = "new" if was is None else "stays" if was == one["rank"] else "up" if one["rank"] < was else "down"
        expected.append(f"moved {kind}")
    assert signs == expected


def test_how_well_results_fit_is_said_and_can_be_asked_for(knowing_site, page):
    found = search(page, knowing_site, "/?q=red+mug")
    answer = knowing_site.get("/v1/search?query=red+mug&k=24").json()["results"]
    said = [f"fits {one['fit'] * 100:.0f} %, the probability that the teacher would accept it" for one in answer]
    assert page.do("[...document.querySelectorAll('a.open .fit')].map((one) => one.textContent)") == said
    assert not page.do("document.getElementById('unfit').textContent")
    choose = "const one = document.getElementById('min-fit'); one.value = '{}'; one.dispatchEvent(new Event('change'))"
    page.do(f"(() => {{ {choose.format('0.75')} }})()")
    some = [one["id"] for one in answer if one["fit"] >= 0.75]
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({some!r}) && location.search === '?q=red+mug&min_fit=0.75'")
    assert page.do("document.querySelector('.chip').innerText") == "fits at least 75 %"
    search(page, knowing_site, "/?q=red+mug&min_fit=0.98", "!!document.querySelector('#note .plain')")
    assert page.do("document.getElementById('min-fit').selectedOptions[0].text") == "At least 98 %"
    page.do("document.querySelector('#note .plain').click()")
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({found!r})")
    search(page, knowing_site, f"/?q=red+mug&where=file_name='{found[-1]}'")
    poor = "Nothing here fits well. These are the closest."
    assert page.do("document.getElementById('unfit').innerText") == poor
    page.wait(f"document.getElementById('told').textContent.startsWith({poor!r})")
    assert page.axe() == []
    search(page, knowing_site, "/?q=red+%2B+mug&min_fit=0.75")
    assert page.do(f"({IDS}).length + document.querySelectorAll('.chip, .fit:not(:empty)').length") == 24
    assert page.do("document.getElementById('min-fit').disabled")
    assert not page.complaints()


def test_a_teacher_orders_the_results_of_who_presses_for_it_and_of_nobody_else(knowing_site, page, chromium):
    stage = knowing_site.service.second
    button = "document.getElementById('rerank')"
    said = "document.getElementById('teacher-said').textContent"
    search(page, knowing_site, "/")
    assert page.do(f"{button}.hidden")
    page.do("document.getElementById('words').focus()")
    page.type("red mug")
    page.press("Enter")
    page.wait("location.search === '?q=red+mug'")
    plain = ids(knowing_site, "/v1/search?query=red+mug&k=24")
    ordered = [*reversed(plain[:8]), *plain[8:]]
    search(page, knowing_site, "/?q=red+mug&k=6")
    assert not stage.asked
    page.do(f"{button}.focus()")
    page.press("Enter", "Enter")
    page.wait(f"{button}.textContent === 'Asking the teacher…'")
    assert page.do("document.getElementById('told').textContent") == "The teacher looks at the first 8 results."
    stage.go_on.set()
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({ordered[:6]!r})")
    assert page.do(
        "[...document.querySelectorAll('.card')].map((one) => one.querySelector('.moved span').innerText)"
    ) == [f"was {number}" for number in (8, 7, 6, 5, 4, 3)]
    assert page.do(said) == "The teacher has ordered 8 results · 5 calls, $0.0021."
    page.wait(f"document.getElementById('told').textContent.startsWith({said})")
    assert page.do(f"{button}.ariaPressed + location.search + document.activeElement.id") == "true?q=red+mug&k=6rerank"
    assert page.do("document.querySelectorAll('.card .thumbs').length") == 6
    page.do("document.getElementById('more-button').click()")
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({ordered!r})")
    page.do(f"{button}.click()")
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({plain!r}) && !document.querySelector('.moved span')")
    page.do(f"{button}.click()")
    page.wait(f"JSON.stringify({IDS}) === JSON.stringify({ordered!r})")
    assert search(page, knowing_site, "/?q=red+mug&k=30") == plain, "the address asks nobody"
    assert stage.asked == ["red mug"]

    narrow = chromium.page(*NARROW, dark=True)
    search(narrow, knowing_site, "/?q=red+mug+late")
    pool = knowing_site.service.pools.second
    most, pool._most = pool._most, 0
    narrow.do(f"{button}.click()")
    narrow.wait("document.querySelector('.trouble')?.innerText.includes('Too many requests')")
    assert not narrow.do("document.documentElement.classList.contains('stale')")
    pool._most = most
    narrow.do("document.querySelector('.trouble button').click()")
    narrow.wait(f"{said}.startsWith('Not in the teacher')")
    assert "did not answer within 1 s" in narrow.do(said)
    narrow.do("document.getElementById('teacher-again').click()")
    narrow.until(lambda: stage.asked == ["red mug", "red mug late", "red mug late"])
    narrow.wait(f"{button}.textContent === 'Re-rank with the teacher' && !document.querySelector('.trouble')")
    assert narrow.axe() == []
    assert narrow.do("document.scrollingElement.scrollWidth - innerWidth") <= 0
    search(narrow, knowing_site, "/?q=red+mug+late&compare=1")
    assert narrow.do(f"{button}.hidden")
    assert not page.complaints()


def test_the_theme_follows_the_system_and_the_switch(site, chromium):
    page = chromium.page(dark=True)
    search(page, site, "/")
    assert page.do("document.documentElement.dataset.theme") == "dark"
    page.do("document.getElementById('theme').click()")
    page.go(base(site))
    assert page.do("document.documentElement.dataset.theme") == "light"
    page.do("document.getElementById('theme').click()")
    page.look(dark=False)
    page.wait("document.documentElement.dataset.theme === 'light'")

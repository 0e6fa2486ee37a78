"""The "Why this?" of the search page in a real browser: asked for by a press alone, in the words of `query --why`."""

import contextlib
import shutil
import sqlite3
import time
from urllib.parse import quote_plus, urlsplit

import pytest

from browser import BROWSER
from served import served
from vdistill.query.search import Searcher
from vdistill.query.why import Explainer, words
from vdistill.serve.explanations import Explanations
from vdistill.serve.refusals import Refused, unavailable
from vdistill.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium")]
DESKTOP, PHONE, NARROW = (1280, 900), (375, 812), (320, 640)  # px
BUTTON = "document.getElementById('why-button')"
DETAILS = f"document.querySelector('#details[open]') && {BUTTON}"
OFFERED = f"{DETAILS} && !{BUTTON}.hidden"
SEARCHED = "document.querySelector('.card .score')?.textContent"
SAID = "document.querySelector('#why [role=status]').textContent"
NONE = "Nothing like it was judged for a query near this one."
MARKUP = '<img src="x" onerror="window.broken = true">'


def open_details(page, site, address, ready=OFFERED):
    page.go(f"http://127.0.0.1:{site.port}{address}")
    page.wait(ready)


def press(page):
    page.do(f"{BUTTON}.focus()")
    page.press("Enter")


def asked(page):
    return [urlsplit(one) for one in page.requests() if "/v1/why/" in one]


def told_of(home, query, id_):
    """What the command says of each judgment, as the page has it."""
    workspace = Workspace(home / ".vdistill")
    with Searcher.open(workspace.root) as searcher, Explainer.open(workspace, searcher) as explainer:
        (reasons,) = explainer.reasons(searcher.encode([query])[0], [id_])
    lines = []
    for reason in reasons:
        sign = "+" if reason.verdict == "for" else "−"
        said = f"{sign} {reason.verdict} it: {words.verdict(reason)}: {words.detail(reason, id_)}"
        source = f"query similarity {reason.similarity:.2f} · {words.source(reason)}"
        lines.append([f"“{reason.query}”", said.replace(" %", "\u00a0%"), source])
    return lines


def shown(page):
    """The same on the page."""
    return page.do(
        "[...document.querySelectorAll('#why .reason')].map((one) => "
        "[...one.querySelectorAll('p')].map((line) => line.textContent))"
    )


def with_reasons(site, verdict):
    """A result of a search and the first of whose judgments speaks so."""
    for item in site.get("/v1/items?k=24").json()["items"]:
        found = site.get(f"/v1/why/{item['id']}", params={"query": "a red thing"}).json()["why"]
        if found and found[0]["verdict"] == verdict:
            return item["id"]
    raise AssertionError(verdict)


@pytest.mark.parametrize(
    ("size", "dark", "verdict"),
    [(DESKTOP, False, "for"), (PHONE, False, "against"), (NARROW, True, "for")],
    ids=["desktop-light", "phone-light", "narrow-dark"],
)
def test_a_press_tells_what_taught_the_student_in_the_words_of_the_command(
    judged, explaining, chromium, size, dark, verdict
):
    page = chromium.page(*size, dark)
    id_ = with_reasons(explaining, verdict)
    open_details(page, explaining, f"/?q=a+red+thing&item={id_}")
    assert page.do(f"{BUTTON}.ariaExpanded") == "false"
    assert not asked(page), "nothing is fetched until somebody asks"
    press(page)
    page.wait("document.querySelector('#why .reason')")
    assert page.do(f"{BUTTON}.ariaExpanded + document.activeElement.id") == "truewhy-button"
    assert page.do(SAID).startswith("The judgments that taught the student most")
    assert shown(page) == told_of(judged, "a red thing", id_)
    assert page.do(f"document.querySelector('#why .reason').classList.contains('{verdict}')")
    page.wait("[...document.querySelectorAll('#why .plate')].every((one) => one.matches('.here'))")
    answer = explaining.get(f"/v1/why/{id_}", params={"query": "a red thing"}).json()
    number = sum(1 + len(reason["over"]) for reason in answer["why"])
    assert page.do("document.querySelectorAll('#why .shown li').length") == number
    assert page.do("document.querySelectorAll('#why .shown .chosen').length") == len(answer["why"])
    assert page.axe() == []
    for room in ("document.scrollingElement", "document.getElementById('details')"):
        assert page.do(f"{room}.scrollWidth - {room}.clientWidth") <= 0
    press(page)
    assert page.do(f"{BUTTON}.ariaExpanded + document.getElementById('why').hidden") == "falsetrue"
    press(page)
    assert page.do("document.querySelectorAll('#why .reason').length") == len(answer["why"])
    assert len(asked(page)) == 1, "what was told is kept"
    assert not page.complaints()


def test_every_kind_of_search_that_the_student_answers_is_explained(judged, explaining, page):
    open_details(page, explaining, "/?q=2:red+%2B+mug+-+green&item=red_mug.png")
    press(page)
    page.wait(f"document.querySelector('#why .reason') || {SAID} === '{NONE}'")
    assert asked(page)[-1].query == "query=2%3Ared&query=%2B&query=mug&query=-&query=green&model=student"
    open_details(page, explaining, "/?like=red_mug.png&q=blue&item=blue_mug.png")
    press(page)
    page.wait(f"document.querySelector('#why .reason') || {SAID} === '{NONE}'")
    assert not asked(page)[-1].query
    open_details(page, explaining, "/?q=red&compare=1&item=red_mug.png")
    open_details(page, explaining, "/?q=red", SEARCHED)
    node = page.call("DOM.getDocument")["root"]["nodeId"]
    chosen = page.call("DOM.querySelector", nodeId=node, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=chosen, files=[str(judged / "catalog" / "red_mug.png")])
    page.wait("document.querySelector('#with .token') && document.getElementById('told').textContent")
    page.wait("!document.documentElement.classList.contains('busy') && document.querySelector('.card')")
    page.do("document.querySelector('.card a.open').click()")
    page.wait(OFFERED)
    press(page)
    page.wait(f"document.querySelector('#why .reason') || {SAID} === '{NONE}'")
    assert not page.complaints()


@pytest.mark.parametrize(
    "address",
    ["/?item=red_mug.png", "/?q=red&model=backbone&item=red_mug.png", "/?q=%2B&item=red_mug.png"],
    ids=["no-search", "backbone", "no-words"],
)
def test_what_no_judgment_can_explain_is_not_offered(explaining, page, address):
    open_details(page, explaining, address, f"{DETAILS} && document.querySelector('.card')")
    time.sleep(0.3)
    assert page.do(f"{BUTTON}.hidden")
    assert not asked(page)


def test_without_it_the_page_is_as_it_was(site, page):
    open_details(page, site, "/?q=red&item=red_mug.png", f"{DETAILS} && {SEARCHED}")
    time.sleep(0.3)
    assert page.do(f"{BUTTON}.hidden")
    assert not asked(page)


def test_a_server_that_prepares_is_asked_again_and_an_error_can_be(explaining, page, monkeypatch):
    explained, troubles = Explanations.explained, [
        unavailable("training queries are encoded first, once: 256 of 1,008 so far", "ask again in a moment"),
        Refused(500, "internal_error", "something went wrong in the server", "its log says what"),
    ]  # fmt: skip

    def refusing(self, *more):
        if troubles:
            raise troubles.pop(0)
        return explained(self, *more)

    monkeypatch.setattr(Explanations, "explained", refusing)
    open_details(page, explaining, "/?q=a+red+thing&item=red_mug.png")
    press(page)
    page.wait(f"{SAID} === 'Training queries are encoded first, once: 256 of 1,008 so far. Ask again in a moment.'")
    page.wait("document.querySelector('#why [role=alert]')?.innerText.includes('Something went wrong')")
    assert page.axe() == []
    page.do("document.querySelector('#why [role=alert] button').click()")
    page.wait(f"document.querySelector('#why .reason') || {SAID} === '{NONE}'")
    assert not page.do("document.querySelector('#why [role=alert]')")
    page.press("Escape")
    page.wait("!document.querySelector('#details[open]')")


def test_the_next_result_is_asked_about_by_a_press_of_its_own(explaining, page):
    open_details(page, explaining, "/?q=a+red+thing", SEARCHED)
    page.do("document.querySelector('.card a.open').click()")
    page.wait(OFFERED)
    press(page)
    page.wait(f"document.querySelector('#why .reason') || {SAID} === '{NONE}'")
    page.press("ArrowRight")
    page.wait("document.querySelector('#details-place').textContent.startsWith('#2')")
    page.wait(f"{OFFERED} && document.getElementById('why').hidden")
    assert len(asked(page)) == 1


def test_behind_a_token_it_is_shown_too(judged, chromium):
    page = chromium.page()
    with served(judged, why=True, token="a long secret") as site:
        page.go(f"http://127.0.0.1:{site.port}/?q=a+red+thing&item=red_mug.png")
        page.wait("document.getElementById('token-dialog').open")
        page.do("document.getElementById('token').focus()")
        page.type("a long secret")
        page.press("Enter")
        page.wait(OFFERED)
        press(page)
        page.wait("document.querySelector('#why .plate.here')")
        assert not [one for one in page.requests() if "secret" in one]


def test_what_people_wrote_stays_text_and_what_is_gone_is_named(judged, explaining, tmp_path, page):
    home, query = tmp_path, "a red thing"
    shutil.copytree(judged / ".vdistill", home / ".vdistill")
    id_ = with_reasons(explaining, "for")
    (first, *_) = explaining.get(f"/v1/why/{id_}", params={"query": query}).json()["why"]
    gone = next(one for one in first["over"] if one != first["item"])
    with Searcher.open(home) as searcher:
        old, new = searcher.hashes([gone])[gone], "f" * 64
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database, database:
        for table, column in (("judgments", "query"), ("queries", "text")):
            database.execute(f"UPDATE {table} SET {column} = ? || {column}", (MARKUP,))
        database.execute("UPDATE judgments SET teacher = ?, sha256 = replace(sha256, ?, ?)", (MARKUP, old, new))
        database.execute("INSERT INTO sides VALUES ('content', ?, 'train')", (new,))
    with served(home, why=True) as site:
        reasons = site.get(f"/v1/why/{id_}", params={"query": query}).json()["why"]
        assert any(gone in one["over"] for one in reasons)
        open_details(page, site, f"/?q=a+red+thing&item={quote_plus(id_)}")
        press(page)
        page.wait("document.querySelector('#why .reason')")
        assert page.do("document.getElementById('why').innerText").count(MARKUP) == 2 * len(reasons)
        assert page.do(f"document.querySelector('#why .gone').textContent === 'No longer in the index: {gone}'")
        number = sum(one != gone for reason in reasons for one in (reason["chosen"], *reason["over"]))
        assert page.do("document.querySelectorAll('#why .shown li').length") == number
        assert page.do("document.querySelectorAll('#why [onerror]').length") == 0
        assert page.do("window.broken") is None
        assert not page.complaints()

"""The pages in a real browser: without a message, nothing cut off on a phone, readable by all, in the dark too."""

import html
import importlib.resources
import json
import re
import shutil
import subprocess

import pytest

from command_line import vdistill

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium")]
DESKTOP, PHONE = 1280, 390  # px

CHECK = """
addEventListener("load", async () => {
  const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]});
  const root = document.scrollingElement;
  const scrolled = [...document.querySelectorAll("*")].filter(
    (one) => one.scrollWidth > one.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(one).overflowX));
  parent.postMessage(JSON.stringify({
    wider: root.scrollWidth - root.clientWidth,
    unreachable: scrolled.filter((one) => one.tabIndex < 0).length,
    small: [...document.querySelectorAll("body *")].filter((one) => one.childNodes.length && !one.closest("svg")
      && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
      && parseFloat(getComputedStyle(one).fontSize) < 11).length,
    stretched: [...document.querySelectorAll("li img")].filter(
      (one) => Math.abs(one.clientWidth - one.clientHeight) > 1).length,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    violations: found.violations.map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`),
  }), "*");
});
"""


def browse(folder, page, *more):
    """The page as the browser leaves it, and what it said on the console."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=30000"]
    command = [BROWSER, *options, f"--user-data-dir={folder / 'profile'}", *more, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def pages(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    vdistill("label", "--audit", 40, cwd=home)
    report, gallery = folder / "report.html", folder / "gallery.html"
    for command in (
        ["bench", "--slice", "title", "--robustness", "--speed", "--fail-under", "mpr=0", "--report", report],
        ["query", "something red", "--compare", "--gallery", gallery],
    ):
        done = vdistill(*command, cwd=home)
        assert done.code == 0, done.err
    return {"report": report, "gallery": gallery}


@pytest.mark.parametrize("name", ["report", "gallery"])
def test_a_page_opens_without_a_message(pages, name, tmp_path):
    content, said = browse(tmp_path, pages[name])
    assert "</html>" in content
    assert said == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", ["report", "gallery"])
def test_a_page_is_for_everybody(pages, name, width, dark, tmp_path):
    axe = importlib.resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page = re.sub(r"<meta http-equiv[^>]*>", "", pages[name].read_text(encoding="utf-8"))  # it allows no script
    (tmp_path / "page.html").write_text(page.replace("</head>", f"<script>{axe}{CHECK}</script></head>"))
    frame = tmp_path / "frame.html"  # a browser's window is never as narrow as a phone
    frame.write_text(
        f'<iframe src="page.html" width="{width}" height="844"></iframe><pre id="found"></pre><script>'
        'addEventListener("message", (event) => { document.getElementById("found").textContent = event.data; });'
        "</script>"
    )
    content, _ = browse(tmp_path, frame, f"--blink-settings=preferredColorScheme={0 if dark else 1}")
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', content, re.DOTALL)[1]))
    assert found["dark"] == dark
    assert found["violations"] == []
    assert found["wider"] <= 0, "nothing is cut off"
    assert found["unreachable"] == 0, "what scrolls can be reached by keyboard"
    assert found["small"] == 0
    assert found["stretched"] == 0, "all cards of the gallery have an image area of one size"

"""The page on which a server lists images may keep them from AI."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from command_line import errors, vdistill
from drawings import draw_catalog
from vdistill.errors import VdistillError
from vdistill.inputs.catalog import scan

pytest.importorskip("aiohttp", reason="needs vdistill[http]")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder with a few images, and its address."""
    folder = tmp_path / "served" / "shop"
    folder.mkdir(parents=True)
    draw_catalog(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder.parent))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/shop/"
    server.shutdown()
    server.server_close()


def write_page(folder, *tags):
    links = "".join(f'<a href="{path.name}">{path.name}</a>' for path in sorted(folder.glob("*.png")))
    (folder / "index.html").write_text(f"<html><head>{''.join(tags)}</head><body>{links}</body></html>")


@pytest.mark.parametrize(
    "tag",
    ['<meta name="robots" content="noindex, noai">', "<META content='noimageai' NAME=Robots />",
     '<meta name="vdistill" content="NoAI">'],
)  # fmt: skip
def test_a_page_that_keeps_its_images_from_ai_is_no_catalog(served, tag):
    folder, address = served
    write_page(folder, tag)
    with pytest.raises(VdistillError, match="keeps its images from AI") as caught:
        scan(address)
    assert "--ignore-robots" in caught.value.hint


@pytest.mark.parametrize(
    "tag",
    ["", '<meta name="robots" content="noindex, nofollow">', '<meta name="otherbot" content="noai">',
     '<meta name="description" content="noai">', '<meta name="robots">', "<p>noai</p>"],
)  # fmt: skip
def test_another_page_is_one(served, tag):
    folder, address = served
    write_page(folder, tag)
    assert len(scan(address).items) == len([*folder.glob("*.png")])


def test_your_own_shop_is_indexed_all_the_same(served, tmp_path, clip_folder):
    folder, address = served
    write_page(folder, '<meta name="robots" content="noai">')
    command = ["index", address, "--backbone", clip_folder, "--json"]
    error, _ = errors(vdistill(*command, cwd=tmp_path))
    assert "keeps its images from AI" in error
    assert not (tmp_path / ".vdistill").exists()
    done = vdistill(*command, "--ignore-robots", cwd=tmp_path)
    assert done.json["items"] == len([*folder.glob("*.png")]), done.err
    again = vdistill(*command, cwd=tmp_path)
    assert again.json["added"] == 0, "it is remembered"

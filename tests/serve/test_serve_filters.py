"""What the page begins with: what items can be filtered by, some of them, and the page's own files."""

import re

import pytest

from served import served, unpack_large_shop
from vdistill.serve.pages import PAGE

FILES = sorted(path.relative_to(PAGE).as_posix() for path in PAGE.rglob("*") if path.is_file())
TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
         "svg": "image/svg+xml"}  # fmt: skip


def filters(site):
    found = site.get("/v1/filters").json()
    return {one["column"]: one for one in found["filters"]}, found


def test_filters_are_values_lists_and_ranges(tmp_path):
    def metadata(n):
        return {
            "title": ("a", "b")[n % 2], "sku": f"s{n % 4}", "colour": ("red", "blue", "N/A")[n % 3],
            "note": f"each has its own {n}", "long": ("x" * 200, "y")[n % 2], "tags": ["new", f"t{n % 5}"],
            "price": ("1.50", "20", "n/a")[n % 3], "one": 7, "sold": ("true", "FALSE")[n % 2],
            "made": f"2024-05-{1 + n % 9:02}", "seen": f"2024-05-0{1 + n % 3} 12:00", "odd": (1, "x")[n % 2],
        }  # fmt: skip

    with served(unpack_large_shop(tmp_path, 60, metadata)) as site:
        found, answer = filters(site)
        assert set(found) == {"colour", "tags", "price", "sold", "made", "seen"}
        assert (answer["read"], answer["items"]) == (60, 60)
        assert found["colour"]["values"] == [{"value": "blue", "items": 20}, {"value": "red", "items": 20}]
        assert found["tags"]["kind"] == "list"
        assert found["tags"]["values"][0] == {"value": "new", "items": 60}
        assert [found["price"][end] for end in ("kind", "least", "most")] == ["number", 1.5, 20.0]
        assert {one["value"] for one in found["sold"]["values"]} == {True, False}
        assert [found["made"][end] for end in ("kind", "least", "most")] == ["date", "2024-05-01", "2024-05-09"]
        assert [found["seen"][end] for end in ("kind", "least", "most")] == ["time", "2024-05-01", "2024-05-03"]


def test_of_a_large_catalog_a_sample_is_read(large_shop, monkeypatch):
    from vdistill.serve import filterable

    monkeypatch.setattr(filterable, "SAMPLE", 200)
    with served(large_shop) as site:
        found, answer = filters(site)
        assert answer["items"] == 3000
        assert answer["read"] == 200
        assert {one["value"] for one in found["tags"]["values"]} == {"new", "old"}
        assert 0 <= found["price"]["least"] < found["price"]["most"] <= 39
        assert filters(site)[1] == answer, "it is found once"


def test_some_items_are_of_different_products(large_site):
    items = large_site.get("/v1/items?k=20").json()["items"]
    assert len(items) == len({one["product"] for one in items}) == 20
    assert items[0] == large_site.get(f"/v1/items/{items[0]['id']}").json()


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_page_is_sent_again_only_where_it_changed(site, name):
    first = site.get(f"/{name}")
    assert first.status_code == 200
    assert first.content == (PAGE / name).read_bytes()
    assert first.headers["content-type"] == TYPES[name.rpartition(".")[2]]
    assert first.headers["cache-control"] == "no-cache"
    again = site.get(f"/{name}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_names_all_of_its_files_and_no_others():
    index = (PAGE / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:href|src)="/([^"#]+)', index)) - {"docs"}
    used = {f"app/{name}" for path in PAGE.rglob("*.js") for name in re.findall(r'from "\./([^"]+)"', path.read_text())}
    assert named == set(FILES) - {"index.html"}, "what is not preloaded is waited for"
    assert used | {"app/main.js"} == {name for name in FILES if name.startswith("app/")}
    assert "http" not in index.replace("http-equiv", "")

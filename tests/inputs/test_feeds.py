"""Product feeds as catalogs: what their rows become, and what is said of those that cannot be used."""

import bz2
import gzip
import json
from urllib.parse import urljoin

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vdistill.errors import VdistillError
from vdistill.inputs.catalog import scan
from vdistill.inputs.listings.feed_columns import images_of

CDN = "https://cdn.example"
RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>A shop</title>{}</channel></rss>"""
ATOM = '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">{}</feed>'
HEADER = ("id", "title", "image_link", "additional_image_link", "price", "brand")
ROWS = [
    ("1", "Mug, red", f"{CDN}/w_3,h_3/1.jpg", f"{CDN}/w_3,h_3/1b.jpg,{CDN}/1c.jpg", "12.50 EUR", "Clay"),
    ("2", "Lamp & shade", f"{CDN}/2.jpg", "", "1299 EUR", "Glow"),
]
MUG = {"id": "1", "title": "Mug, red", "price": 12.5, "currency": "EUR", "brand": "Clay", "group": "1"}
LAMP = {"id": "2", "title": "Lamp & shade", "price": 1299, "currency": "EUR", "brand": "Glow"}


def table(delimiter, header=HEADER, quote=str):
    return "".join(f"{delimiter.join(map(quote, row))}\n" for row in (header, *ROWS)).encode()


def quoted(text):
    return f'"{text}"'


def element(name, text):
    return f"<{name}>{text.replace('&', '&amp;')}</{name}>"


def xml(row, tag, prefix="g:"):
    key, title, image, more, price, brand = row
    images = more.replace(f",{CDN}", f" {CDN}").split()
    inner = [element(f"{prefix}id", key), element("title", title), element(f"{prefix}image_link", image)]
    inner += [element(f"{prefix}additional_image_link", one) for one in images]
    inner += [element(f"{prefix}price", price), element(f"{prefix}brand", brand)]
    inner += [f"<{prefix}shipping><{prefix}price>4.90 USD</{prefix}price></{prefix}shipping>"]
    return f"<{tag}>{'<id>tag:shop.example,1</id>' if tag == 'entry' else ''}{''.join(inner)}</{tag}>"


def lines(*rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def parquet(folder):
    path = folder / "made"
    pq.write_table(
        pa.table({name: list(column) for name, column in zip(HEADER, zip(*ROWS, strict=True), strict=True)}), path
    )
    return path.read_bytes()


FORMS = {
    "feed.xml": RSS.format("".join(xml(row, "item") for row in ROWS)).encode(),
    "feed.rss": RSS.format("".join(xml(row, "item", "") for row in ROWS)).replace("UTF-8", "UTF-16").encode("utf-16"),
    "feed.atom": ATOM.format("".join(xml(row, "entry") for row in ROWS)).encode(),
    "feed.csv": table(",", quote=quoted),
    "semicolons.csv": table(";", ("ID", "Title", "Image Link", "Additional image link", "Price", "Brand")),
    "feed.tsv": table("\t"),
    "feed.txt": b"\xef\xbb\xbf" + table("\t", [f"g:{name}" for name in HEADER]),
    "repeated.tsv": b"id\ttitle\timage_link\tadditional_image_link\tadditional_image_link\tprice\tbrand\n"
    + "".join(
        "\t".join((*row[:3], *(row[3].rsplit(",", 1) if row[3] else ("", "")), *row[4:])) + "\n" for row in ROWS
    ).encode(),
    "feed.jsonl": lines(*(dict(zip(HEADER, row, strict=True)) for row in ROWS)),
    "content_api.jsonl": lines(
        *(
            {"id": int(key), "title": title, "imageLink": image, "brand": brand,
             "additionalImageLinks": [one for one in more.rsplit(",", 1) if one],
             "price": {"value": price.split()[0], "currency": "EUR"}}
            for key, title, image, more, price, brand in ROWS
        )
    ),
    "feed.tsv.gz": gzip.compress(table("\t")),
    "feed.xml.bz2": bz2.compress(RSS.format("".join(xml(row, "item") for row in ROWS)).encode()),
}  # fmt: skip


def seen(catalog):
    return [(item.id, item.file, dict(item.metadata)) for item in catalog.items]


@pytest.mark.parametrize("name", FORMS)
def test_a_feed_of_any_form_is_the_same_catalog(tmp_path, name):
    (tmp_path / name).write_bytes(FORMS[name])
    assert seen(scan(tmp_path / name)) == [
        ("1", f"{CDN}/w_3,h_3/1.jpg", MUG),
        ("1/2", f"{CDN}/w_3,h_3/1b.jpg", MUG),
        ("1/3", f"{CDN}/1c.jpg", MUG),
        ("2", f"{CDN}/2.jpg", LAMP),
    ]


def test_parquet_with_addresses_is_a_feed(tmp_path):
    (tmp_path / "feed.parquet").write_bytes(parquet(tmp_path))
    assert [one[:2] for one in seen(scan(tmp_path / "feed.parquet"))][::3] == [
        ("1", f"{CDN}/w_3,h_3/1.jpg"),
        ("2", f"{CDN}/2.jpg"),
    ]


def test_any_table_with_addresses_is_a_feed_and_file_names_are_ids(tmp_path):
    (tmp_path / "a.csv").write_text(f"image_url,caption\n{CDN}/1.jpg,one\n//cdn.example/2.jpg,two\n")
    (tmp_path / "b.csv").write_text(f"id,file_name,image_url\n9,shop/1.jpg,{CDN}/1.jpg\n")
    assert [item.id for item in scan(tmp_path / "a.csv").items] == [f"{CDN}/1.jpg", f"{CDN}/2.jpg"]
    assert seen(scan(tmp_path / "b.csv")) == [("shop/1.jpg", f"{CDN}/1.jpg", {"id": "9"})]


@pytest.mark.parametrize(
    ("said", "price", "currency"),
    [("12.50 EUR", 12.5, "EUR"), ("EUR 12,50", 12.5, "EUR"), ("1.299,00 €", 1299, "€"), ("$1,299.00", 1299, "$"),
     ("1,299 USD", 1299, "USD"), ("1'299.50 CHF", 1299.5, "CHF"), ("7", 7, None), (7.5, 7.5, None),
     ("on request", "on request", None), ("10 - 20 EUR", "10 - 20 EUR", None)],
)  # fmt: skip
def test_a_price_is_a_number_and_a_currency(tmp_path, said, price, currency):
    (tmp_path / "f.jsonl").write_bytes(lines({"id": "1", "image_link": f"{CDN}/1.jpg", "price": said}))
    metadata = scan(tmp_path / "f.jsonl").items[0].metadata
    assert (metadata["price"], metadata.get("currency")) == (price, currency)


def test_products_of_one_item_group_are_one_group(tmp_path):
    rows = [{"id": key, "image_link": f"{CDN}/{key}.jpg", "item_group_id": "shirt"} for key in "ab"]
    (tmp_path / "f.jsonl").write_bytes(lines(*rows, {"id": "c", "image_link": f"{CDN}/c.jpg"}))
    assert [item.metadata.get("group") for item in scan(tmp_path / "f.jsonl").items] == ["shirt", "shirt", None]


def test_what_cannot_be_used_is_named_by_kind(tmp_path):
    rows = [{"id": f"bare {n}", "title": "words"} for n in range(5)]
    rows += [{"id": "ftp", "image_link": "ftp://cdn.example/1.jpg"}, {"id": "file", "image_link": "file:///etc/passwd"}]
    rows += [{"id": "a", "image_link": f"{CDN}/1.jpg"}, {"id": "a", "image_link": f"{CDN}/2.jpg"}, {"title": "lost"}]
    rows += [{"id": "bare 0", "image_link": f"{CDN}/3.jpg"}]
    (tmp_path / "f.jsonl").write_bytes(lines(*rows))
    catalog = scan(tmp_path / "f.jsonl")
    assert [item.id for item in catalog.items] == ["a", "bare 0"]
    assert catalog.told(catalog.skipped) == [
        "skipped 5 images: its row names no image, e.g. bare 0",
        "skipped ftp: its image has no http or https address",
        "skipped file: its image has no http or https address",
        "skipped row 10: its row has neither an id nor an image",
        "skipped a: another image has this id",
    ]
    bare = {item.id: item.metadata["title"] for item in catalog.imageless if "bare" in item.id}
    assert bare == {f"bare {n}": "words" for n in range(1, 5)}


BROKEN = {
    "cut.xml": (FORMS["feed.xml"][:-90], "cut.xml, line 2: not XML .unclosed token", "cut short"),
    "cut.tsv": (FORMS["feed.tsv"][:-15], "cut.tsv, line 3: 4 values, the header names 6", "cut short"),
    "cut.jsonl": (FORMS["feed.jsonl"][:-15], "cut.jsonl, line 2: not JSON", "that line"),
    "cut.tsv.gz": (FORMS["feed.tsv.gz"][:-15], "cannot unpack .*cut.tsv.gz", "cut short"),
    "bomb.xml": (b'<!DOCTYPE r [<!ENTITY a "aaa">]>' + FORMS["feed.xml"][39:], "has a document type", "DOCTYPE"),
    "page.xml": (b"<!doctype html><title>Shop", "is a web page, not a feed", "address"),
    "other.xml": (b"<products><product/></products>", "neither <item> nor <entry>", "RSS"),
    "array.jsonl": (b'[{"id": 1}]', "is a JSON array", "each line"),
    "zipped.csv": (b"PK\x03\x04", "is a zip archive", "XML"),
    "no_images.csv": (b"id,title\n1,a\n", "looked for image_link and image_url, found id, title", "image_link"),
    "metadata.csv": (b"file_name,title\n1.jpg,a\n", "it names files", "folder"),
    "no_address.csv": (b"id,image_link\n1,\n2,\n", "no row of .* names an image", "http"),
    "empty.csv": (b"", "found no columns at all", "image_link"),
    "latin.csv": ("id,title,image_link\n1,Café,https://c.example/1.jpg\n".encode("latin-1"), "not UTF-8", "UTF-8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_feed_that_is_none_or_cut_short_is_an_error_with_a_remedy(tmp_path, name):
    content, message, remedy = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VdistillError, match=message) as caught:
        scan(tmp_path / name)
    assert remedy in caught.value.hint


ADDRESSES = (
    "https://cdn.example/1.jpg", "https://cdn.example/a/../1.jpg?v=2;w=3", "https://cdn.example//1.jpg",
    "https://cdn.example/1.jpg?", "https://cdn.example/1.jpg;", "https://cdn.example/1.jpg#x", "HTTPS://CDN.example/1",
    "https://cdn.example:8080/1.jpg", "https://cdn.example/a b.jpg", "https://cdn.example/é.jpg", "https://cdn.example",
    "https://[::1]/1.jpg", "//cdn.example/1.jpg", "/1.jpg", "1.jpg?a=b",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_of_a_fetched_feed_is_what_the_standard_makes_of_it(address):
    base = "https://shop.example/feeds/all.tsv"
    assert images_of({"image_link": address}, base) == [(1, urljoin(base, address))]


@pytest.mark.parametrize("address", ["https:///1.jpg", "https://c.example:99999/1.jpg", "https://[::1/1.jpg"])
def test_an_address_without_a_host_or_with_an_impossible_port_is_none(address):
    assert images_of({"image_link": address}, "") == [(1, None)]

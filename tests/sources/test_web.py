"""Images from a web server: fetched politely and once, and every failure has a name."""

import contextlib
import sqlite3
import ssl
import time

import httpx2
import pytest

from shop_server import ShopServer, broken_off, send
from vdistill.sources import source_at
from vdistill.sources.cache import use_cache
from vdistill.sources.http import known_stamps
from vdistill.sources.read_ahead import read_ahead
from vdistill.sources.web import client

PICTURE = b"\x89PNG a picture"


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(40):
        (tmp_path / "images" / f"{number}.png").write_bytes(PICTURE + str(number).encode())
    use_cache(tmp_path / "cache", 1)
    with ShopServer(tmp_path / "images") as server:
        yield server
    use_cache(None, 0)


@pytest.fixture
def impatient(monkeypatch):
    """No pauses between attempts."""
    monkeypatch.setattr(client, "_wait", lambda _: 0.0)


def reason(url):
    try:
        source_at(url).open()
    except OSError as error:
        return error.strerror
    pytest.fail("it was read")


def another_process(tmp_path):
    use_cache(tmp_path / "cache", 1)


def test_an_image_is_fetched_once_by_who_says_what_he_is(shop, tmp_path):
    source = source_at(f"{shop.url}/images/1.png")
    stamp = source.stamp()
    assert source.open().read() == PICTURE + b"1"
    another_process(tmp_path)
    assert source.open().read() == PICTURE + b"1"
    assert source.stamp() == stamp
    assert shop.images() == ["/images/1.png"]
    assert {agent.partition("/")[0] for agent in shop.agents} == {"vdistill"}


def endless(request):
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for _ in range(50):
        request.wfile.write(b"f4240\r\n" + bytes(1_000_000) + b"\r\n")


def to(location):
    return lambda request: send(request, status=302, Location=location)


def page(request):
    send(request, b"<!DOCTYPE html><p>sorry", Content_Type="text/html")


FAULTS = {
    "dead": (None, "its server answers 404 (not found)"),
    "forbidden": (lambda request: send(request, status=403), "its server answers 403 (forbidden)"),
    "page": (page, "its address shows a web page"),
    "soft": (lambda request: send(request, b"no such image", Content_Type="text/plain"),
             "its address shows a text, not an image"),
    "moved": (to("/page"), "its address redirects to a web page"),
    "round": (to("/round"), "its address redirects too often"),
    "script": (to("javascript:alert(1)"), "its address redirects to what is no http or https address"),
    "file": (to("file:///etc/passwd"), "its address redirects to what is no http or https address"),
    "large": (lambda request: send(request, b"x", Content_Length="50000000"), "it is larger than 32 megabytes"),
    "endless": (endless, "it is larger than 32 megabytes"),
    "noai": (lambda request: send(request, PICTURE, X_Robots_Tag="noindex, noai"),
             "the server wants it in no ai (x-robots-tag)"),
    "noimageai": (lambda request: send(request, PICTURE, X_Robots_Tag="vdistill: noimageai"),
                  "the server wants it in no ai (x-robots-tag)"),
    "private/1": (lambda request: send(request, PICTURE), "the server's robots.txt forbids it"),
    "into": (to("/private/1"), "the server's robots.txt forbids it"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_image_for_us_is_named(shop, name, monkeypatch):
    if httpx2.__version__ < "2.15":  # it follows every address in its mind, and refuses this one before we do
        monkeypatch.setitem(FAULTS, "script", (FAULTS["script"][0], "it has no valid address"))
    shop.answers = {f"/{path}": answer for path, (answer, _) in FAULTS.items() if answer}
    shop.robots = "User-agent: *\nDisallow: /private/*\n"
    assert reason(f"{shop.url}/{name}") == FAULTS[name][1]
    asked = len(shop.asked)
    assert reason(f"{shop.url}/{name}") == FAULTS[name][1]
    assert len(shop.asked) == asked, "what failed is not asked for again"
    assert "/private/1" not in shop.asked


def test_a_tag_for_other_robots_is_not_for_us(shop):
    shop.headers = {"X-Robots-Tag": "otherbot: noai, max-image-preview: none"}
    assert source_at(f"{shop.url}/images/1.png").open().read()


def test_robots_are_obeyed_unless_told_otherwise(shop, tmp_path):
    from vdistill.sources.manners import obey_robots

    shop.robots, shop.headers = "User-agent: *\nDisallow: /\n", {"X-Robots-Tag": "noai"}
    assert reason(f"{shop.url}/images/1.png") == "the server's robots.txt forbids it"
    assert not shop.images()
    obey_robots(lambda: False)
    try:
        assert source_at(f"{shop.url}/images/1.png").open().read()
    finally:
        obey_robots(lambda: True)


def test_a_server_whose_robots_cannot_be_read_is_not_asked_for_images(shop, impatient):
    shop.robots = lambda request: send(request, status=500)
    assert reason(f"{shop.url}/images/1.png") == "the server's robots.txt cannot be read now"
    assert not shop.images()


def test_what_fails_in_passing_is_tried_again(shop):
    refusals = iter([(429, {"Retry_After": "1"}), (503, {}), None])
    times = []

    def answer(request):
        times.append(time.monotonic())
        refused = next(refusals)
        send(request, status=refused[0], **refused[1]) if refused else send(request, PICTURE)

    shop.answers = {"/busy": answer}
    assert source_at(f"{shop.url}/busy").open().read() == PICTURE
    assert times[1] - times[0] >= 1


def test_a_server_that_asks_for_hours_is_left_alone(shop):
    shop.answers = {"/a": lambda request: send(request, status=429, Retry_After="7200")}
    assert reason(f"{shop.url}/a") == "its server asks to come back later"
    assert reason(f"{shop.url}/images/1.png") == "its server asks to come back later"
    assert not shop.images()


def read_all(urls):
    """Read images as the commands do, on many threads; the seconds that it took."""
    began = time.monotonic()
    for _, source in read_ahead(urls, lambda url: (url, source_at(url))):
        source.open().close()
    return time.monotonic() - began


def images(shop, numbers):
    return [f"{shop.url}/images/{number}.png" for number in numbers]


def test_a_host_is_asked_for_eight_images_at_once(shop):
    shop.delay = 0.3
    read_all(images(shop, range(32)))
    assert 2 <= shop.most <= 8
    assert len(set(shop.images())) == 32


def test_a_host_is_asked_fifty_times_a_second_and_more_slowly_where_its_robots_say_so(shop, tmp_path):
    assert read_all(images(shop, range(40))) >= 40 / 50  # robots.txt is the first of 41
    another_process(tmp_path / "other")
    shop.robots = "User-agent: *\nCrawl-delay: 0.2\n"
    assert read_all(images(shop, range(6))) >= 5 * 0.2


def test_a_host_that_says_that_requests_are_too_many_is_asked_half_as_often(shop):
    refusals = iter([429])
    shop.robots = "User-agent: *\nCrawl-delay: 0.1\n"
    shop.answers = {"/busy": lambda request: send(request, PICTURE, status=next(refusals, 200), Retry_After="0")}
    source_at(f"{shop.url}/busy").open().close()
    assert shop.asked.count("/busy") == 2
    # Each answer lets the interval shrink again, by a twentieth.
    assert read_all(images(shop, range(7))) >= sum(0.2 * 0.95**answers for answers in range(1, 7))


def test_eight_failures_in_a_row_end_all_requests_to_a_host(shop, impatient):
    shop.answers = {f"/broken{number}": lambda request: send(request, status=500) for number in range(15)}
    for number in range(15):
        if number == 7:
            assert source_at(images(shop, [1])[0]).open().read()  # so the next seven are the first in a row
        assert reason(f"{shop.url}/broken{number}") == "its server answers 500"
    asked = len(shop.asked)
    assert asked == 1 + 15 * 3 + 1
    gone = {reason(url) for url in images(shop, range(2, 10))}
    assert gone == {"not asked for, since others of its server failed: its server answers 500"}
    assert len(shop.asked) == asked


def test_dead_links_are_no_failures_of_their_host(shop):
    dead = [f"{shop.url}/images/dead{number}.png" for number in range(20)]
    assert {reason(url) for url in dead} == {"its server answers 404 (not found)"}
    assert source_at(images(shop, [1])[0]).open().read()


def test_an_answer_that_breaks_off_is_no_image(shop, impatient):
    shop.answers = {"/half": broken_off}
    assert reason(f"{shop.url}/half") == "its server breaks off the answer"
    assert shop.asked.count("/half") == 3


def test_a_server_that_is_not_there_is_not_asked_for_ever(shop, impatient, unused_tcp_url):
    began = time.monotonic()
    reasons = [reason(f"{unused_tcp_url}/{number}.png") for number in range(30)]
    assert set(reasons) == {"its server cannot be reached"}
    assert time.monotonic() - began < 60


@pytest.fixture
def unused_tcp_url():
    import socket

    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_certificate_that_is_not_valid_is_named_and_nothing_is_sent(shop, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (tmp_path / "pem").write_text(PEM)
    context.load_cert_chain(tmp_path / "pem")
    with ShopServer(tmp_path / "images", context) as secure:
        for number in range(3):
            assert reason(f"{secure.url}/images/{number}.png").startswith("its server's certificate is not valid: self")
        assert not secure.asked


def test_a_public_address_does_not_lead_into_the_own_network(shop, monkeypatch):
    monkeypatch.setenv("http_proxy", shop.url)  # so that shop.example is answered by this server
    shop.answers = {"/inside": to(f"{shop.url}/images/1.png"), "/other": to("http://other.example/images/2.png")}
    assert reason("http://shop.example/inside") == "its public address redirects into a private network"
    assert source_at("http://shop.example/other").open().read() == PICTURE + b"2"
    assert shop.hosts["other.example"] == 2  # its robots.txt too
    assert "/images/1.png" not in shop.asked


def test_an_address_that_is_none_is_named(shop):
    for url in ("http://", "http://[::1", "https://a b.example:x/1.jpg", "http://\x00/1.jpg"):
        assert reason(url) == "it has no valid address"


def expire(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "cache" / "web.db")) as db, db:
        db.execute("UPDATE answers SET fresh_until = 0")
    another_process(tmp_path)


def test_after_a_while_the_server_is_asked_whether_the_image_is_the_same(shop, tmp_path):
    source, file = source_at(f"{shop.url}/images/1.png"), shop.folder / "1.png"
    source.open().close()
    stamp = source.stamp()
    expire(tmp_path)
    assert source.stamp() == stamp
    assert len(shop.images()) == 2  # once with If-None-Match
    file.write_bytes(b"\x89PNG another")
    assert source.stamp() == stamp, "asked a moment ago"
    expire(tmp_path)
    assert source.stamp() != stamp
    assert source.open().read() == b"\x89PNG another"
    expire(tmp_path)
    file.unlink()
    assert source.open().read() == b"\x89PNG another", "what was there last is kept"


def test_without_what_was_known_an_address_counts_as_unchanged(shop, tmp_path):
    source = source_at(f"{shop.url}/images/1.png")
    source.open().close()
    stamp = source.stamp()
    use_cache(tmp_path / "elsewhere", 1)
    assert source.stamp() == stamp
    (tmp_path / "cache" / "web.db").write_bytes(b"damaged" * 1000)
    another_process(tmp_path)
    assert source.stamp() == stamp


def test_stamps_of_many_addresses_are_those_of_each_but_where_the_server_is_to_be_asked(shop, tmp_path):
    urls = [f"{shop.url}/images/{number}.png" for number in range(4)]
    for url in urls[:2]:
        source_at(url).open().close()
    each = {url: source_at(url).stamp() for url in urls}
    assert known_stamps([*urls, "/shop/a.png", tmp_path, "s3://shop/a.png"]) == each
    (shop.folder / "1.png").write_bytes(b"\x89PNG another")
    expire(tmp_path)
    asked = len(shop.images())
    assert known_stamps(urls) == {url: each[url] for url in urls[2:]}, "of which nothing is known"
    assert len(shop.images()) == asked
    assert source_at(urls[1]).stamp() != each[urls[1]]
    assert known_stamps(urls)[urls[1]] == source_at(urls[1]).stamp()


# Of "shop.example", signed by itself, until 2126: nobody trusts it.
PEM = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgi1ARedcVIrPohGLA
iqEOS/EFbl/SfwQYBnVR4YD+fzWhRANCAAQFJu2tCbfT+XyiJcVi18Vm7sX56yQo
0XQ8HPiyqvy9mL1Xt0cmVkgoi7Bnpc/B2LuA6+7dStgTb9+ulJ6QPkyZ
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBhjCCASugAwIBAgIUB1+yy5fmJ/f3oI3OfEaz8vBn0AUwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMc2hvcC5leGFtcGxlMCAXDTI2MTEyNjE2MDQwMVoYDzIxMjYx
MTAyMTYwNDAxWjAXMRUwEwYDVQQDDAxzaG9wLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAQFJu2tCbfT+XyiJcVi18Vm7sX56yQo0XQ8HPiyqvy9mL1X
t0cmVkgoi7Bnpc/B2LuA6+7dStgTb9+ulJ6QPkyZo1MwUTAdBgNVHQ4EFgQUIzrC
xALq7tGKHbUPYMTLXK9pVl0wHwYDVR0jBBgwFoAUIzrCxALq7tGKHbUPYMTLXK9p
Vl0wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEApthIB3QWkvHe
4QkxGyqB9/8ZYOCCcZRqbZZQYi1XQjcCIQDQLiNFYkbr+KnIo7hHqlIdHfJSJfzB
LGVIylul9Yb2mQ==
-----END CERTIFICATE-----
"""

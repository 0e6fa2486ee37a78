"""Who may ask: the server's own names, pages that were named, and whoever knows the token."""

import pytest

from command_line import errors, vdistill
from served import refused, served

HOSTS = ["localhost", "localhost:8000", "LOCALHOST.", "127.0.0.1:1", "[::1]:8000", "[::1]"]
FOREIGN = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "192.168.1.5",
    "",
    "evil.example:8000",
    "[::2]",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_loopback_name_is_its_own(site, host):
    assert site.get("/v1/info", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_was_bent_to_this_machine_is_refused(site, host):
    for path in ("/v1/info", "/", "/docs", "/metrics", "/v1/images/red_mug.png"):
        refused(site.get(path, headers={"Host": host}), 421, "unknown_host")
    assert site.get("/healthz", headers={"Host": host}).status_code == 200  # a probe knows no name


def test_other_pages_may_not_ask(site):
    own = f"http://127.0.0.1:{site.port}"
    assert site.get("/v1/info", headers={"Origin": own}).status_code == 200
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://[", "file://"):
        response = site.get("/v1/info", headers={"Origin": origin})
        refused(response, 403, "foreign_origin")
        assert not [name for name in response.headers if name.startswith("access-control")]
    refused(site.post("/v1/search", {"query": "x"}, headers={"Origin": "https://evil.example"}), 403, "foreign_origin")
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    refused(site.get("/v1/images/red_mug.png", headers=embedded), 403, "foreign_origin")
    assert site.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_a_page_that_was_named_may_ask(shop):
    with served(shop, origins=("https://shop.example",), hosts=("search.shop.example",)) as site:
        origin = {"Origin": "https://shop.example", "Host": "search.shop.example"}
        response = site.get("/v1/info", headers=origin)
        assert response.headers["access-control-allow-origin"] == "https://shop.example"
        asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        assert site.client.options("/v1/search", headers=asked).status_code == 200
        refused(site.get("/v1/info", headers={"Origin": "https://evil.example"}), 403, "foreign_origin")


def test_with_a_token_nothing_is_told_without_it(shop):
    with served(shop, token="a long secret") as site:
        for path in (
            "/v1/info",
            "/v1/search?query=x",
            "/v1/images/red_mug.png",
            "/metrics",
            "/v1/nothing",
            "/v1/../v1/info",
        ):
            refused(site.get(path), 401, "unauthorized")
            for wrong in ("Bearer", "Bearer wrong", "Basic a long secret", "Bearer a long secre", "bearer \xff"):
                response = site.get(path, headers={"Authorization": wrong.encode("latin-1")})
                refused(response, 401, "unauthorized")
                assert response.headers["www-authenticate"] == "Bearer"
        assert site.get("/v1/info", headers={"Authorization": "Bearer a long secret"}).status_code == 200
        assert site.get("/healthz").status_code == site.get("/").status_code == 200


def test_no_path_goes_round_the_token(shop):
    with served(shop, token="a long secret") as site:
        for path in (
            "//v1/info",
            "/V1/info",
            "/%76%31/info",
            "/./v1/info",
            "/x/../v1/info",
            "/v1%2finfo",
            "/;/v1/info",
        ):
            answer = site.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            assert b'"items"' not in answer
            assert b" 200 " not in answer.splitlines()[0]


def test_others_reach_it_with_a_token_alone(shop):
    error, hint = errors(vdistill("serve", "--host", "0.0.0.0", "--port", 0, cwd=shop))
    assert "needs a token" in error
    assert "--token-env" in hint
    error, _ = errors(vdistill("serve", "--token-env", "NO_SUCH_VARIABLE", cwd=shop))
    assert "NO_SUCH_VARIABLE is empty" in error


@pytest.mark.parametrize(
    "flags",
    [["--allow-host", "*"], ["--allow-host", "http://a.b"], ["--allow-host", "a.b:80"], ["--allow-origin", "*"],
     ["--allow-origin", "shop.example"], ["--allow-origin", "https://shop.example/x"], ["--port", "70000"]],
)  # fmt: skip
def test_what_may_not_be_allowed_is_wrong_usage(shop, flags):
    assert vdistill("serve", *flags, cwd=shop).code == 2


def test_headers_keep_what_is_in_titles_from_running(site):
    response = site.get("/v1/search", params={"query": "<script>alert(1)</script>"})
    assert response.headers["content-type"] == "application/json"
    for found in (response, site.get("/v1/images/red_mug.png"), site.get("/v1/nothing<script>"), site.get("/")):
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in found.headers["content-security-policy"]
        assert "unsafe" not in found.headers["content-security-policy"]
        assert found.headers["x-frame-options"] == "DENY"
        assert found.headers["cross-origin-resource-policy"] == "same-origin"

"""An agent's tools over MCP, asked by the official SDK's own client: over stdio, and over HTTP beside the API."""

import base64
import io
import json
import os
import subprocess
import sys

import anyio
import httpx2
import pytest
from PIL import Image

from command_line import vdistill_process
from served import needs_where, refused, served
from sittings import judged_shop

pytest.importorskip("mcp", reason="needs vdistill[mcp]")

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from vdistill.serve.agents import tools


def with_client(site, work, token=None):
    """The result of `work`, an async function of a client of a server's /mcp."""

    async def ask():
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
            address = f"http://127.0.0.1:{site.port}/mcp"
            async with Client(streamable_http_client(address, http_client=http)) as client:
                return await work(client)

    return anyio.run(ask)


def with_process(home, work, *options):
    """The same of a client that starts the server itself."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "vdistill", "serve", "--mcp", *options], cwd=home, env=dict(os.environ)
    )

    async def ask():
        async with Client(stdio_client(command)) as client:
            return await work(client)

    return anyio.run(ask)


def call(client, name, **arguments):
    return client.call_tool(name, arguments)


def texts(result):
    return [one.text for one in result.content if one.type == "text"]


def images(result):
    return [Image.open(io.BytesIO(base64.b64decode(one.data))) for one in result.content if one.type == "image"]


async def session(client):
    """What an agent does: it looks what there is, searches, and looks closer."""
    listed = (await client.list_tools()).tools
    found = await call(client, "search", query="red mug", k=4, images=2)
    best = json.loads(texts(found)[0])["results"]
    more = await call(client, "similar", id=best[0]["id"], k=2, images=1)
    item = await call(client, "item", id=best[0]["id"])
    return listed, found, more, item


def check(listed, found, more, item, expected):
    assert [tool.name for tool in listed] == ["search", "similar", "item"]
    schema = listed[0].input_schema
    assert schema["required"] == ["query"]
    assert "price (number)" in schema["properties"]["where"]["description"]
    assert not found.is_error
    document = json.loads(texts(found)[0])
    assert [one["id"] for one in document["results"]] == [one["id"] for one in expected]
    assert [one["score"] for one in document["results"]] == [one["score"] for one in expected]
    assert texts(found)[1:] == [f"{rank}. {one['id']}" for rank, one in enumerate(expected[:2], start=1)]
    assert [image.format for image in images(found)] == ["JPEG"] * 2
    assert len(json.loads(texts(more)[0])["results"]) == 2
    assert len(images(more)) == 1
    assert json.loads(texts(item)[0])["id"] == expected[0]["id"]
    assert len(images(item)) == 1


def test_over_http_the_tools_answer_like_the_api(site):
    expected = site.get("/v1/search?query=red+mug&k=4").json()["results"]
    check(*with_client(site, session), expected)


def test_over_stdio_too(shop, site):
    expected = site.get("/v1/search?query=red+mug&k=4").json()["results"]
    check(*with_process(shop, session, "--model", "student"), expected)


def test_nothing_but_the_protocol_is_on_stdout(shop):
    parameters = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
    lines = [json.dumps(one) for one in (hello, ready, listing)]
    command = [sys.executable, "-m", "vdistill", "serve", "--mcp"]
    with subprocess.Popen(command, cwd=shop, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        process.stdin.write("no JSON\n" + "\n".join(lines) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        rest, said = process.communicate(timeout=60)  # which closes stdin: the agent is gone
    assert rest == ""
    assert "Traceback" not in said
    assert process.returncode == 0
    assert {answer.get("id") for answer in answers} == {1, 2}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("search", {}, "search needs query\nhint: "),
        ("search", {"query": " "}, "search needs query\nhint: "),
        ("search", {"query": "red", "colour": "red"}, "there is no field 'colour'\nhint: known: query"),
        ("search", {"query": "red", "k": 1000}, "k is not between 1 and 50\nhint: "),
        ("search", {"query": "red", "images": "all"}, "images is not a whole number\nhint: "),
        pytest.param(
            "search",
            {"query": "red", "where": "pric < 5"},
            "where: no column 'pric' in the metadata\nhint: ",
            marks=needs_where,
        ),
        ("search", {"query": "red", "where": "1; DROP TABLE items"}, "where"),
        ("search", {"query": "a" * 5000}, "query has more than 4,000 letters\nhint: "),
        ("search", {"query": "red", "model": "teacher"}, "there is no index of the model 'teacher'"),
        ("similar", {"id": "../../etc/passwd"}, "there is no item '../../etc/passwd'\nhint: "),
        ("item", {"id": "red_mug.png", "size": 9999}, "size is none of 0, 160, 320, 640, 1280\nhint: "),
        ("buy", {}, "there is no tool 'buy'\nhint: known: search, similar, item"),
    ],
)
def test_what_cannot_be_answered_is_an_error_of_the_tool_with_a_hint(site, name, arguments, message):
    found = with_client(site, lambda client: client.call_tool(name, arguments))
    assert found.is_error
    assert texts(found)[0].startswith(message)


def test_images_are_bounded_in_number_pixels_and_bytes(site, monkeypatch):
    found = with_client(site, lambda client: call(client, "search", query="red", k=20, images=8))
    assert len(images(found)) == 8
    assert max(max(image.size) for image in images(found)) <= tools.SIDE
    monkeypatch.setattr(tools, "IMAGE_BYTES", 4000)
    found = with_client(site, lambda client: call(client, "search", query="red", k=20, images=8))
    assert sum(len(base64.b64decode(one.data)) for one in found.content if one.type == "image") <= 4000
    assert "the images of an answer have 4,000 bytes at most" in texts(found)[0]


def test_an_item_without_its_image_is_still_told(large_site):
    found = with_client(large_site, lambda client: call(client, "search", query="red", k=2, images=2))
    assert not found.is_error
    assert not images(found)
    assert texts(found)[0].count("the image of this item cannot be read") == 2


def test_over_http_it_is_as_closed_as_the_api(shop):
    with served(shop, token="secret") as site:
        ask = {"json": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}}
        refused(site.get("/mcp", headers={"Host": "evil.example"}), 421, "unknown_host")
        refused(site.post("/mcp", **ask), 401, "unauthorized")
        refused(site.post("/mcp", **ask, headers={"Origin": "https://evil.example"}), 403, "foreign_origin")
        known = {"Authorization": "Bearer secret"}
        refused(site.get("/mcp", headers=known), 405, "method_not_allowed")
        refused(site.post("/mcp", content=b"x" * (17 * 2**20), headers=known), 413, "too_large")
        assert site.post("/mcp", content=b"no JSON", headers=known).status_code == 400
        assert len(with_client(site, lambda client: client.list_tools(), "secret").tools) == 3
        assert '"/mcp"' in site.get("/metrics", headers=known).text


def test_many_agents_at_once_get_their_answers(site):
    async def crowd(client):
        found = [None] * 20

        async def ask(number):
            found[number] = await call(client, "search", query=f"red {number}", k=1, images=1)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(ask, number)
        return found

    assert all(not one.is_error for one in with_client(site, crowd))


def test_an_agent_has_no_address(shop):
    done = vdistill_process("serve", "--mcp", "--port", "9", cwd=shop)
    assert done.code == 2
    assert "listens nowhere" in done.err


def test_an_agent_may_ask_why_where_the_server_says_so(tmp_path):
    async def ask(client):
        listed = (await client.list_tools()).tools
        found = await call(client, "why", query="a red thing", id="red_mug.png")
        return listed, found, await call(client, "why", query="red", id="no-such.png")

    home = judged_shop(tmp_path)
    with served(home, why=True) as site:
        listed, found, unknown = with_client(site, ask)
        expected = site.get("/v1/why/red_mug.png", params={"query": "a red thing"}).json()
    assert [tool.name for tool in listed] == ["search", "similar", "item", "why"]
    assert listed[3].input_schema["required"] == ["query", "id"]
    document = json.loads(texts(found)[0])
    assert document["why"] == expected["why"]
    assert [one["metadata"] for one in document["items"]] == [one["metadata"] for one in expected["items"]]
    assert unknown.is_error
    assert texts(unknown)[0].startswith("there is no item 'no-such.png'\nhint: ")


def test_without_the_sdk_it_says_what_to_install(shop):
    program = "import sys; sys.modules['mcp'] = None; from vdistill.cli import main; sys.exit(main(['serve', '--mcp']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=shop, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == ["error: --mcp needs the package mcp", "hint: pip install 'vdistill[mcp]'"]

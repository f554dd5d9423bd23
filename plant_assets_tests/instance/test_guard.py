"""What the web server refuses, request by request, and what it lets pass."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from plant_assets.instance.guard import Guard, is_loopback, parse_authority

HOST, JSON = ("host", "localhost:3000"), ("content-type", "application/json")
OWN = ("origin", "http://localhost:3000")
UI = ("host", "plants.example.com")
Pairs = list[tuple[str, str]]


def _answer(scope: dict[str, Any]) -> Message:
    """How the guard's answer begins; status 200 is the app's behind it."""
    sent: list[Message] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Guard(app, ["plants.example.com"])(scope, receive, send))
    return sent[0]


def ask(method: str, url: str, *headers: tuple[str, str]) -> int:
    path, _mark, query = url.partition("?")
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw}
    return int(_answer(scope)["status"])


def connect(*headers: tuple[str, str]) -> int:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "websocket", "path": "/graphql", "query_string": b"", "headers": raw}
    return int(_answer({**scope, "extensions": {"websocket.http.response": {}}})["status"])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST.:3000", 200),
        ("127.0.0.1:3000", 200),
        ("127.8.8.8", 200),
        ("[::1]:3000", 200),
        ("[::1]", 200),
        ("plants.example.com", 200),
        ("Plants.Example.Com.:443", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("evil.example:3000", 400),
        ("localhost:3000@evil.example", 400),
        ("evil.example/localhost", 400),
        ("localhost, evil.example", 400),
        ("localhost:", 400),
        ("localhost:3000:3000", 400),
        ("0.0.0.0:3000", 400),
        ("[::ffff:10.0.0.1]", 400),
        ("[::1", 400),
        ("", 400),
    ],
)
def test_a_host_is_of_the_list(host: str, status: int) -> None:
    assert ask("GET", "/", ("host", host)) == status
    assert connect(("host", host)) == status


def test_one_host_is_needed() -> None:
    assert ask("GET", "/") == 400
    assert ask("GET", "/", HOST, HOST) == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([HOST], 200),
        ([HOST, OWN], 200),
        ([HOST, OWN, ("sec-fetch-site", "same-origin")], 200),
        ([HOST, ("sec-fetch-site", "none")], 200),
        ([HOST, ("sec-fetch-site", "cross-site")], 403),
        ([HOST, ("sec-fetch-site", "same-site")], 403),
        ([HOST, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], 403),
        ([HOST, OWN, ("sec-fetch-site", "cross-site")], 403),
        ([HOST, ("origin", "http://localhost:8080")], 403),
        ([HOST, ("origin", "http://localhost")], 403),
        ([HOST, ("origin", "http://127.0.0.1:3000")], 403),
        ([HOST, ("origin", "http://evil.example")], 403),
        ([HOST, ("origin", "http://evil.example:3000")], 403),
        ([HOST, ("origin", "null")], 403),
        ([HOST, ("origin", "")], 403),
        ([HOST, ("origin", "file://")], 403),
        ([HOST, ("origin", "chrome-extension://localhost:3000")], 403),
        ([HOST, OWN, ("origin", "http://evil.example")], 403),
        ([UI, ("origin", "https://plants.example.com")], 200),
        ([UI, ("origin", "http://plants.example.com")], 200),
        ([UI, ("origin", "https://plants.example.com:8443")], 403),
        ([("host", "plants.example.com:443"), ("origin", "https://plants.example.com")], 200),
        ([("host", "plants.example.com:443"), ("origin", "http://plants.example.com")], 403),
        ([("host", "plants.example.com:8443"), ("origin", "https://plants.example.com:8443")], 200),
        ([("host", "[::1]:3000"), ("origin", "http://[::1]:3000")], 200),
        ([("host", "localhost.:3000"), OWN], 200),
    ],
)
def test_what_may_change_something_is_of_the_same_origin(headers: Pairs, status: int) -> None:
    assert ask("POST", "/graphql", JSON, *headers) == status
    assert ask("POST", "/report_asset_check/a", *headers) == status
    assert ask("DELETE", "/anything", JSON, *headers) == status
    assert ask("OPTIONS", "/graphql", JSON, *headers) == status
    assert connect(*headers) == status


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["application/json"], 200),
        (["Application/JSON; charset=utf-8"], 200),
        ([], 403),
        (["text/plain"], 403),
        (["text/plain; x=application/json"], 403),
        (["application/graphql"], 403),
        (["application/x-www-form-urlencoded"], 403),
        (["multipart/form-data; boundary=application/json"], 403),
        (["application/json", "text/plain"], 403),
        (["application/json, text/plain"], 403),
    ],
)
# What Dagster has no route for is refused too: no spelling of a path is looser than its own.
@pytest.mark.parametrize(
    "path", ["/graphql", "/graphql/", "//graphql", "/graphql\n", "/%67raphql", "/GraphQL", "/x/../graphql"]
)
def test_a_post_is_json(kinds: list[str], status: int, path: str) -> None:
    assert ask("POST", path, HOST, *[("content-type", kind) for kind in kinds]) == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_graphql_is_not_asked_by_get(method: str) -> None:
    for url in ("/graphql?query={a}", "/graphql?a=b&query=", "/graphql\n?query={a}", "/graphql?%71uery={a}"):
        assert ask(method, url, HOST) == 403
        assert ask(method, url, HOST, OWN, ("sec-fetch-site", "same-origin")) == 403
    for url in ("/graphql", "/graphql?a=query", "/runs?query=a", "/", "/assets/graphql?query=a"):
        assert ask(method, url, HOST, ("sec-fetch-site", "cross-site")) == 200


def test_notebooks_are_not_shown() -> None:
    for path in ("/notebook", "/dagit/notebook", "/notebook\n"):
        assert ask("GET", f"{path}?path=/tmp/a.ipynb", HOST) == 403


def test_no_other_site_frames_an_answer() -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [(b"host", b"localhost")]}
    assert _answer(scope)["headers"] == [(b"x-frame-options", b"SAMEORIGIN")]


def test_addresses_of_this_machine_only() -> None:
    assert all(map(is_loopback, ["localhost", "Localhost", "127.0.0.1", "127.1.2.3", "::1"]))
    assert not any(map(is_loopback, ["", "0.0.0.0", "::", "10.0.0.1", "0", "example.com", "localhost.example.com"]))


def test_an_authority_has_a_name_and_a_port() -> None:
    assert parse_authority("A.example:81") == ("a.example", 81)
    assert parse_authority("a.example.", 443) == ("a.example", 443)
    assert parse_authority("[::1]:8") == ("::1", 8)
    assert [parse_authority(text) for text in ("", ":80", "a b", "user@a", "a:b", "::1")] == [None] * 6

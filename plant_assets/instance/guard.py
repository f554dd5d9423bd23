"""What the web server refuses: a browser's requests in the name of another site.

Dagster's own server takes mutations by GET and by forms, and answers to any Host. A page of any site could start and
delete through the browser of its visitor, past a reverse proxy's log-in too. The guard knows requests, not users: a
program that reaches the port can do what the UI can.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READS = ("GET", "HEAD")
# Compared by how a path begins: Starlette's routes take a line break at its end.
GRAPHQL, REPORTS, NOTEBOOKS = "/graphql", "/report_asset_", ("/notebook", "/dagit/notebook")
JSON = "application/json"
DEFAULT_PORTS = {"http": 80, "https": 443}
AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^][\s:/@?#,]+?)\.?(:(?P<port>[0-9]{1,5}))?")


class Refusal(NamedTuple):
    """Why a request is not answered, in one sentence."""

    status: int
    reason: str


class Authority(NamedTuple):
    """A host by its name, without brackets and final dot, and its port."""

    name: str
    port: int


def parse_authority(text: str, default_port: int = 0) -> Authority | None:
    """Return what a Host header, or an Origin after its scheme, names; None if it names no host."""
    found = AUTHORITY.fullmatch(text.lower())
    if not found:
        return None
    return Authority(found["name"].strip("[]"), int(found["port"] or default_port))


def is_loopback(name: str) -> bool:
    """Return whether a host's name or address is this machine for itself only."""
    try:
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuse the requests that `refusal` has a reason against; forbid other sites to frame what the rest get."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]) -> None:
        self._app, self._allowed_hosts = app, allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, one websocket, or the app's start and end."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif found := refusal(scope, self._allowed_hosts):
            await PlainTextResponse(f"plant-assets: {found.reason}\n", found.status)(scope, receive, send)
        else:
            await self._app(scope, receive, _unframed(send))


def _unframed(send: Send) -> Send:
    """Let no page of another site lay the UI under what its visitor clicks on."""

    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
        await send(message)

    return send_with_header


def refusal(scope: Scope, allowed_hosts: Collection[str]) -> Refusal | None:
    """Return why a request or websocket must not reach Dagster, or None.

    Args:
        scope: what ASGI says of it.
        allowed_hosts: the server's names besides those of loopback, in lower case.
    """
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    host = parse_authority(hosts[0]) if len(hosts) == 1 else None
    if not host or not (is_loopback(host.name) or host.name in allowed_hosts):
        return Refusal(
            400,
            f"{', '.join(hosts) or 'no Host'} is not a name of this server; if it should be, name it by --allow-host",
        )
    if scope["path"].startswith(NOTEBOOKS):
        return Refusal(403, "notebooks, which may hold scripts, are not shown; no asset here is one")
    if scope["type"] == "http" and scope["method"] in READS:
        return _refusal_of_query(scope)
    if not _is_same_origin(headers, hosts[0]):
        return Refusal(
            403,
            f"{', '.join(headers.getlist('origin')) or 'another site'} may not ask this of {hosts[0]}; if it is the UI"
            " behind a proxy, set there: proxy_set_header Host $http_host",
        )
    return _refusal_of_body(scope, headers) if scope["type"] == "http" else None


def _refusal_of_query(scope: Scope) -> Refusal | None:
    """An image of another site is a GET: older browsers do not say whose."""
    if scope["path"].startswith(GRAPHQL) and "query" in QueryParams(scope["query_string"]):
        return Refusal(403, f"GraphQL is asked by POST with Content-Type {JSON}, not by GET")
    return None


def _refusal_of_body(scope: Scope, headers: Headers) -> Refusal | None:
    """Forms of other sites cannot send JSON. Dagster looks for its name anywhere in the Content-Type."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in headers.getlist("content-type")]
    if kinds == [JSON] or scope["path"].startswith(REPORTS):
        return None
    return Refusal(403, f"a {scope['method']} needs one Content-Type, {JSON}; found {', '.join(kinds) or 'none'}")


def _is_same_origin(headers: Headers, host: str) -> bool:
    """Return whether all that the browser says of the asking page names this server; programs say nothing."""
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    return {*sites} <= {"same-origin", "none"} and all(_is_origin_of(origin, host) for origin in origins)


def _is_origin_of(origin: str, host: str) -> bool:
    scheme, _separator, authority = origin.lower().partition("://")
    port = DEFAULT_PORTS.get(scheme)
    # The scheme itself is not compared: a proxy may end TLS in front.
    return port is not None and parse_authority(host, port) == parse_authority(authority, port)

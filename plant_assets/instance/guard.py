"""The guard of the web server: it rejects requests that a browser sends for a page of another site.

Dagster's web server takes mutations by GET and from forms, and answers to any Host. A page of any site could start
runs and delete data through its visitor's browser, even behind a reverse proxy with a log-in. The guard checks
requests, not users: any program that reaches the port can do what the UI can.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READS = ("GET", "HEAD")
# Compared with the beginning of a path: Starlette's routes accept a line break at the end.
GRAPHQL, REPORTS, NOTEBOOKS = "/graphql", "/report_asset_", ("/notebook", "/dagit/notebook")
JSON = "application/json"
DEFAULT_PORTS = {"http": 80, "https": 443}
AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^][\s:/@?#,]+?)\.?(:(?P<port>[0-9]{1,5}))?")


class Refusal(NamedTuple):
    """The status and the one-sentence reason of a request that is rejected."""

    status: int
    reason: str


class Authority(NamedTuple):
    """The name of a host, without brackets and final dot, and its port."""

    name: str
    port: int


def parse_authority(text: str, default_port: int = 0) -> Authority | None:
    """Return the host of a Host header, or of an Origin after its scheme; None if it names none."""
    found = AUTHORITY.fullmatch(text.lower())
    if not found:
        return None
    return Authority(found["name"].strip("[]"), int(found["port"] or default_port))


def is_loopback(name: str) -> bool:
    """Return whether a host's name or address is of the loopback interface."""
    try:
        return name.lower() == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware that rejects requests by `refusal`, and forbids other sites to frame the rest."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str]) -> None:
        self._app, self._allowed_hosts = app, allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, one websocket, or the app's start and end."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif found := refusal(scope, self._allowed_hosts):
            await PlainTextResponse(f"plant-assets: {found.reason}\n", found.status)(scope, receive, send)
        else:
            await self._app(scope, receive, _unframed(send))


def _unframed(send: Send) -> Send:
    """Add the header that forbids other sites to show the UI in a frame (clickjacking)."""

    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
        await send(message)

    return send_with_header


def refusal(scope: Scope, allowed_hosts: Collection[str]) -> Refusal | None:
    """Return why a request or websocket must not reach Dagster, or None.

    Args:
        scope: the ASGI scope of the request.
        allowed_hosts: the server's names besides those of loopback, in lower case.
    """
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    host = parse_authority(hosts[0]) if len(hosts) == 1 else None
    if not host or not (is_loopback(host.name) or host.name in allowed_hosts):
        return Refusal(
            400,
            f"{', '.join(hosts) or 'no Host'} is not a name of this server; if it should be, add it with --allow-host",
        )
    if scope["path"].startswith(NOTEBOOKS):
        return Refusal(403, "notebooks are not shown, because they may contain scripts; no asset here is a notebook")
    if scope["type"] == "http" and scope["method"] in READS:
        return _refusal_of_query(scope)
    if not _is_same_origin(headers, hosts[0]):
        return Refusal(
            403,
            f"{', '.join(headers.getlist('origin')) or 'another site'} may not send this request to {hosts[0]}; if it"
            " is the UI behind a proxy, set in the proxy: proxy_set_header Host $http_host",
        )
    return _refusal_of_body(scope, headers) if scope["type"] == "http" else None


def _refusal_of_query(scope: Scope) -> Refusal | None:
    """Reject queries by GET: a page can send them as images, and older browsers do not say from which site."""
    if scope["path"].startswith(GRAPHQL) and "query" in QueryParams(scope["query_string"]):
        return Refusal(403, f"send GraphQL by POST with Content-Type {JSON}, not by GET")
    return None


def _refusal_of_body(scope: Scope, headers: Headers) -> Refusal | None:
    """Reject bodies other than JSON: a form of another site cannot send JSON.

    Dagster itself accepts a Content-Type that contains the word anywhere.
    """
    kinds = [kind.partition(";")[0].strip().lower() for kind in headers.getlist("content-type")]
    if kinds == [JSON] or scope["path"].startswith(REPORTS):
        return None
    return Refusal(403, f"a {scope['method']} needs one Content-Type, {JSON}; found {', '.join(kinds) or 'none'}")


def _is_same_origin(headers: Headers, host: str) -> bool:
    """Return whether every header about the asking page names this server; programs send no such header."""
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    return {*sites} <= {"same-origin", "none"} and all(_is_origin_of(origin, host) for origin in origins)


def _is_origin_of(origin: str, host: str) -> bool:
    scheme, _separator, authority = origin.lower().partition("://")
    port = DEFAULT_PORTS.get(scheme)
    # The scheme itself is not compared: a proxy may end TLS in front.
    return port is not None and parse_authority(host, port) == parse_authority(authority, port)

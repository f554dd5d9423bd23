"""A page of another site in a real browser: at our web server it starts and reads nothing, at Dagster's own it does."""

import contextlib
import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from plant_assets.instance.dev import Children
from plant_assets.instance.home import prepare_home, service_environment
from plant_assets.instance.services import Address, code_server, web_server, write_workspace
from plant_assets.settings import read_settings
from plant_assets_tests.support.browser import CHROMIUM, DRIVER, start_browser
from plant_assets_tests.support.machine import need
from plant_assets_tests.support.server import LOCATION, Web, await_listening, free_port

PATIENCE_SECONDS = 90
ATTACKS = ("image", "form", "simple", "json", "empty", "websocket")
REBOUND = "evil.example"


def _mutation(attack: str) -> str:
    """Start a run that names the attack which started it."""
    tags = f'[{{key: "attack", value: "{attack}"}}]'
    return (
        f'mutation {{launchRun(executionParams: {{selector: {LOCATION}, jobName: "check"}},'
        f" executionMetadata: {{tags: {tags}}}}}){{__typename}}}}"
    )


def _page(ui: Web, run_id: str) -> str:
    """What the other site has a visitor's browser do. `ended` names the attacks tried, `read` has what they read."""
    by_url = {attack: ui.address(f"/graphql?query={quote(_mutation(attack))}") for attack in ("image", "form")}
    bodies = {attack: json.dumps({"query": _mutation(attack)}) for attack in ("simple", "json")}
    logs = f'subscription {{pipelineRunLogs(runId: "{run_id}") {{__typename}}}}'
    messages = [{"type": "connection_init"}, {"id": "1", "type": "start", "payload": {"query": logs}}]
    return f"""<!doctype html><title>other</title>
    <iframe name="frame" src="{ui.address("/runs")}"></iframe><iframe name="target"></iframe>
    <form method="post" enctype="text/plain" target="target" action='{by_url["form"]}'><input name="a" value="b"></form>
    <script>
    const ended = new Set(), read = [], end = attack => () => ended.add(attack);
    const image = new Image();
    image.onload = image.onerror = end("image");
    image.src = {json.dumps(by_url["image"])};
    document.getElementsByName("target")[0].onload = end("form");
    document.forms[0].submit();
    const post = (attack, path, how) => fetch({json.dumps(ui.address(""))} + path, {{method: "POST", ...how}})
      .then(answer => answer.text()).then(text => text && read.push(text)).finally(end(attack));
    post("simple", "/graphql", {{mode: "no-cors", body: {json.dumps(bodies["simple"])},
      headers: {{"content-type": "text/plain;application/json"}}}});
    post("json", "/graphql", {{body: {json.dumps(bodies["json"])}, headers: {{"content-type": "application/json"}}}});
    post("empty", "/report_asset_observation/funnel?description=attack", {{mode: "no-cors"}});
    const socket = new WebSocket("ws://127.0.0.1:{ui.port}/graphql", "graphql-ws");
    socket.onopen = () => {json.dumps(messages)}.forEach(each => socket.send(JSON.stringify(each)));
    socket.onmessage = message => {{
      read.push(message.data);
      if (message.data.includes("pipelineRunLogs")) ended.add("websocket");
    }};
    socket.onclose = end("websocket");
    </script>"""


@dataclass
class Doors:
    """Two web servers on the same code server and records: ours, and Dagster's own."""

    ours: Web
    stock: Web
    run_id: str
    log: Path

    def started(self) -> set[str]:
        """The attacks that started a run."""
        tags = [tag for run in self.ours.runs(limit=100) for tag in run["tags"]]
        return {tag["value"] for tag in tags if tag["key"] == "attack"}

    def observed(self) -> list[Any]:
        """What was reported of an asset."""
        asked = '{assetOrError(assetKey: {path: ["funnel"]}){... on Asset{assetObservations{description}}}}'
        return list(self.ours.ask(asked)["assetOrError"].get("assetObservations", []))


@pytest.fixture(scope="module")
def doors(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    need("chromium with its driver", bool(CHROMIUM and DRIVER))
    home = tmp_path_factory.mktemp("doors")
    settings = read_settings(source=small_store, warehouse=home / "w.duckdb", start="2026-09-21")
    before = dict(os.environ)
    prepare_home(settings)
    environment = {**os.environ, **service_environment(settings)}
    os.environ.clear()
    os.environ.update(before)
    code, ours, stock = free_port(), Web(free_port()), Web(free_port())
    workspace = write_workspace(home / "workspace.yaml", host="127.0.0.1", port=code)
    commands = {
        code: code_server("--port", str(code)),
        ours.port: web_server(workspace, Address("127.0.0.1", ours.port), []),
        stock.port: [
            *(sys.executable, "-m", "dagster_webserver", "--workspace", str(workspace)),
            *("--host", "127.0.0.1", "--port", str(stock.port)),
        ],
    }
    children: Children = {}
    try:
        for port, command in commands.items():
            with (home / f"{port}.log").open("wb") as log:
                children[str(port)] = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
            await_listening(port, children[str(port)], home / f"{port}.log")
        yield Doors(ours, stock, ours.launch({"attack": "none"}), home / f"{ours.port}.log")
    finally:
        for child in children.values():
            child.terminate()
            child.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    need("chromium with its driver", bool(CHROMIUM and DRIVER))
    driver = start_browser(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1")
    yield driver
    driver.quit()


def _visit(browser: webdriver.Chrome, page: str, host: str) -> list[str]:
    """Open a page on a port of its own and wait for the end of what it tries; what it has read."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_what: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        browser.get(f"http://{host}:{site.server_port}/")
        WebDriverWait(browser, PATIENCE_SECONDS).until(
            lambda driver: {*ATTACKS} <= {*driver.execute_script("return [...ended]")}
        )
        site.shutdown()
    return list(browser.execute_script("return read"))


def _framed(browser: webdriver.Chrome) -> str:
    """Where the frame is that the page laid over the UI."""
    browser.switch_to.frame("frame")
    try:
        return str(browser.execute_script("return location.href"))
    finally:
        browser.switch_to.default_content()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", REBOUND])
def test_a_page_of_another_origin_starts_and_reads_nothing(doors: Doors, browser: webdriver.Chrome, host: str) -> None:
    assert _visit(browser, _page(doors.ours, doors.run_id), host) == []
    assert doors.started() == {"none"}
    assert doors.observed() == []
    assert _framed(browser).startswith("chrome-error:")


def test_a_name_that_is_pointed_to_this_machine_is_not_answered(doors: Doors, browser: webdriver.Chrome) -> None:
    browser.get(f"http://{REBOUND}:{doors.ours.port}/runs")
    assert f"{REBOUND}:{doors.ours.port} is not a name of this server" in browser.page_source


def test_programs_are_answered(doors: Doors) -> None:
    assert doors.ours.ask("{version}") == doors.stock.ask("{version}")
    with urllib.request.urlopen(doors.ours.address("/server_info"), timeout=30) as answer:
        assert "dagster_version" in json.load(answer)


def test_a_refusal_is_one_sentence(doors: Doors) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(doors.ours.address("/graphql?query=%7Bversion%7D"), timeout=30)
    assert refused.value.code == 403
    sentence = "plant-assets: send GraphQL by POST with Content-Type application/json, not by GET\n"
    assert refused.value.read().decode() == sentence


def test_a_refused_websocket_is_no_error_of_the_server(doors: Doors) -> None:
    headers = {
        **{"Origin": "http://evil.example", "Upgrade": "websocket", "Connection": "Upgrade"},
        **{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"},
    }
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", doors.ours.port, timeout=30)) as connection:
        connection.request("GET", "/graphql", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 403
        assert "http://evil.example may not send this request" in answer.read().decode()
    assert "ERROR" not in doors.log.read_text()


# Last: what it starts stays.
def test_at_dagsters_own_server_the_page_starts_and_reads(doors: Doors, browser: webdriver.Chrome) -> None:
    read = _visit(browser, _page(doors.stock, doors.run_id), "localhost")
    assert any("pipelineRunLogs" in text for text in read)
    assert doors.started() == {"none", "image", "form", "simple"}
    assert doors.observed() == [{"description": "attack"}]
    assert _framed(browser) == doors.stock.address("/runs")
    browser.get(f"http://{REBOUND}:{doors.stock.port}/runs")
    assert "is not a name of this server" not in browser.page_source

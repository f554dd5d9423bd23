"""A store that begins earlier than the code location knew: it loads itself again, and its weeks are run."""

import contextlib
import datetime as dt
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.cli.runs import Outcome, now
from plant_assets.instance import reload
from plant_assets.orchestration.partitions import range_tags
from plant_assets.orchestration.ticks import load_anew
from plant_assets_tests.support.server import Server, Web, await_listening, free_port
from plant_assets_tests.support.small_stores import Store, event, new_store
from plant_assets_tests.support.tables import contents
from plant_assets_tests.support.ticking import evaluate, run, tick

# Two evaluations of a sensor that comes every 30 s, loading the definitions, and one run, on a busy machine.
SECONDS = 240
MONDAY = dt.date(2021, 2, 1)
KNOWN, EARLIER = str(MONDAY), "2021-01-18"
WEEKS = '{assetNodes(assetKeys: [{path: ["raw_events"]}]) {partitionKeys}}'


@pytest.fixture
def known(tmp_path: Path) -> Store:
    """A store of files with one event."""
    store = new_store(tmp_path)
    store.put("events/known.csv", [event("known", f"{KNOWN} 12:00")])
    return store


@pytest.fixture
def store(known: Store) -> Store:
    """The store, which is loaded and then gets an event before its first week."""
    known.load()
    _begin_earlier(known)
    return known


def _begin_earlier(store: Store) -> None:
    store.put("events/earlier.csv", [event("earlier", f"{EARLIER} 12:00")])


@contextlib.contextmanager
def _dev(store: Store) -> Iterator[Web]:
    server = Server(store.settings)
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


@contextlib.contextmanager
def _serve(store: Store) -> Iterator[Web]:
    code, web = free_port(), Web(free_port())
    log = store.folder.with_name("services.log")
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        options = [*arguments, "--source", store.settings.source, "--warehouse", store.settings.warehouse_path]
        with log.open("a") as output:
            command = [sys.executable, "-m", "plant_assets.cli", "serve", *map(str, options)]
            started.append(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True))
        return started[-1]

    try:
        await_listening(code, start("code", "--port", code), log)
        address = ("--code", f"127.0.0.1:{code}")
        await_listening(web.port, start("web", "--port", web.port, *address), log)
        start("daemon", *address)
        yield web
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.5)


def _first_week(web: Web) -> str | None:
    """The first partition that the UI has; None while the definitions are loaded."""
    return next((each["partitionKeys"][0] for each in web.ask(WEEKS)["assetNodes"]), None)


@pytest.mark.parametrize("serve", [_dev, _serve], ids=["dev", "serve"])
def test_the_code_location_loads_itself_again_and_the_weeks_are_run(
    known: Store,
    serve: Callable[[Store], contextlib.AbstractContextManager[Web]],
    tmp_path: Path,
    refresh: Callable[..., Outcome],
) -> None:
    assert not refresh(known.settings, as_of=now()).failures
    _begin_earlier(known)
    with serve(known) as web:
        _until(lambda: _first_week(web) == EARLIER)
        _until(lambda: {each["status"] for each in web.runs()} == {"SUCCESS"})
        [done] = web.runs()
    tags = {each["key"]: each["value"] for each in done["tags"]}
    assert (tags["dagster/sensor_name"], tags["plant/weeks"]) == ("due_weeks", f"{EARLIER}..2021-01-25")
    rebuilt = known.under(home=tmp_path / "rebuilt", warehouse=tmp_path / "rebuilt" / "w.duckdb").settings
    assert not refresh(rebuilt, as_of=now()).failures
    assert contents(known.settings) == contents(rebuilt)


def test_a_run_that_finds_earlier_weeks_notes_them_and_they_are_requested(store: Store) -> None:
    as_of = {"plant/as_of": now().isoformat()}
    with dg.instance_for_test() as records:
        request = dg.RunRequest(tags={**range_tags(MONDAY, MONDAY), **as_of, "plant/only_changed": "yes"})
        assert run(store.settings, records, request) is None
        assert (store.settings.remembered("first_week"), store.events()) == (EARLIER, {"known": KNOWN})
        [due] = evaluate(store.settings, records, "due_weeks").run_requests
        assert due.tags["plant/weeks"].startswith(f"{EARLIER}..")
        assert run(store.settings, records, due) is None
    assert store.events() == {"earlier": EARLIER, "known": KNOWN}


def test_a_tick_of_another_code_server_does_the_weeks_that_it_knows(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with dg.instance_for_test() as records:
        [skip] = tick(store.settings, records, now())
        assert skip.skip_message == f"only weeks before {KNOWN} are due, which these definitions do not have"
        [due] = evaluate(store.settings, records, "due_weeks").run_requests
    assert due.tags["plant/weeks"].startswith(f"{EARLIER}..")
    assert load_anew(store.settings, MONDAY, logging.getLogger("test")) is None
    assert f"the store begins with {EARLIER}, not {KNOWN}: start Dagster again" in caplog.text


def test_a_tick_of_a_code_server_requests_nothing_until_it_has_loaded_the_weeks(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(reload.SOCKET, str(tmp_path / "nobody listens"))
    with dg.instance_for_test() as records:
        [skip] = tick(store.settings, records, now())
        assert (
            skip.skip_message == f"the store begins with {EARLIER}, not {KNOWN}: the code server loads its weeks again"
        )
        [due] = evaluate(store.settings, records, "due_weeks").run_requests
    assert due.tags["plant/weeks"].startswith(f"{EARLIER}..")

"""Messages about failed runs and checks, to a real webhook."""

import email
import logging
import socketserver
import threading
from collections.abc import Iterator

import dagster as dg
import pytest

from plant_assets.definitions import build_defs
from plant_assets.orchestration.alerts import is_known_address, tell
from plant_assets.settings import Settings, read_settings
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.tables import rows

LOG = logging.getLogger("alerts")


@pytest.fixture
def records() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def _check(settings: Settings, records: dg.DagsterInstance) -> dg.DagsterRun:
    job = build_defs(settings).resolve_job_def("check")
    result = job.execute_in_process(instance=records, tags={"plant/as_of": "2026-10-14T06:00:00"}, raise_on_error=False)
    run = records.get_run_by_id(result.run_id)
    assert run
    return run


def test_a_failed_check_is_told_once(
    built: Settings, records: dg.DagsterInstance, webhook: tuple[str, list[dict[str, str]]]
) -> None:
    url, received = webhook
    settings = read_settings(source=built.source, warehouse=built.warehouse, alert_url=url)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("update inventory set inflow = inflow + 1 where week_start_date = '2026-10-12'")
    for _time in range(2):
        run = _check(settings, records)
        tell(settings, records, run, LOG)
    [message] = received
    # What is published is not what is stored then.
    assert message["title"] == "plant_assets: 2 problems"
    assert "asset inventory, check inventory_flows_balance: 5 times: 2026-10-12" in message["message"]
    assert "asset marts, check marts_equal_the_warehouse: 1 time: inventory" in message["message"]
    assert "http://127.0.0.1:3000/runs/" in message["message"]


def test_another_problem_is_told_beside_the_known_one(
    built: Settings, records: dg.DagsterInstance, webhook: tuple[str, list[dict[str, str]]]
) -> None:
    url, received = webhook
    settings = read_settings(source=built.source, warehouse=built.warehouse, alert_url=url)
    rows(settings, "update inventory set inflow = inflow + 1")
    tell(settings, records, _check(settings, records), LOG)
    rows(settings, "insert into stockouts from stockouts limit 1")
    tell(settings, records, _check(settings, records), LOG)
    assert "stockouts_keeps_its_contract" in received[1]["message"]
    assert "inventory_flows_balance" not in received[1]["message"]


def test_a_sound_run_says_nothing(
    built: Settings, records: dg.DagsterInstance, webhook: tuple[str, list[dict[str, str]]]
) -> None:
    url, received = webhook
    settings = read_settings(source=built.source, warehouse=built.warehouse, alert_url=url)
    assert tell(settings, records, _check(settings, records), LOG) is None
    assert received == []


def test_without_an_address_it_is_a_log_line(
    built: Settings, records: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    rows(built, "update inventory set inflow = inflow + 1")
    tell(built, records, _check(built, records), LOG)
    assert "inventory_flows_balance" in caplog.text


def test_the_address_is_kept_secret() -> None:
    settings = read_settings(alert_url="slack://token-a/token-b/token-c")
    assert "token" not in repr(settings)
    assert settings.environment()["PLANT_ALERT_URL"] == "slack://token-a/token-b/token-c"


def test_both_sensors_are_on() -> None:
    defs = build_defs(read_settings())
    for name in ("alert_on_failed_runs", "alert_on_failed_checks"):
        assert defs.resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING


def test_a_run_that_is_tried_again_is_told_once(
    built: Settings, records: dg.DagsterInstance, webhook: tuple[str, list[dict[str, str]]]
) -> None:
    url, received = webhook
    settings = read_settings(source=built.source, warehouse=built.warehouse, alert_url=url)
    job = build_defs(settings).resolve_job_def("refresh")

    def fail(parent: dg.DagsterRun | None, reason: str) -> dg.DagsterRun:
        given = {"parent_run_id": parent.run_id, "root_run_id": parent.root_run_id or parent.run_id} if parent else {}
        run = records.create_run_for_job(job, **given)
        records.report_run_failed(run, reason)
        tell(settings, records, run, LOG)
        return run

    first = fail(None, "The run's process is gone")
    # Between a run and its retry others may end.
    records.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS)
    second = fail(first, "The run's process is gone")
    records.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS)
    fail(second, "The run's process is gone")
    [message] = received
    assert first.run_id in message["message"]
    assert "run of refresh: The run's process is gone" in message["message"]


class Mailbox(socketserver.StreamRequestHandler):
    """An SMTP server that takes every mail."""

    received: list[bytes]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                self.received.append(b"".join(iter(self.rfile.readline, b".\r\n")))
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")


@pytest.fixture
def mailbox() -> Iterator[tuple[str, list[bytes]]]:
    handler = type("OwnMailbox", (Mailbox,), {"received": []})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        yield f"mailto://127.0.0.1:{port}/?from=plants@example.com&to=owner@example.com", handler.received
        server.shutdown()


def test_a_mail_runs_nothing_that_a_store_wrote(
    built: Settings, records: dg.DagsterInstance, mailbox: tuple[str, list[bytes]]
) -> None:
    url, received = mailbox
    settings = read_settings(source=built.source, warehouse=built.warehouse, alert_url=url)
    name = "<img src=x onerror=alert(1)>\x1b[2J\nfern"
    rows(settings, "update inventory set inflow = inflow + 1, product_id = ?", [name])
    tell(settings, records, _check(settings, records), LOG)
    [mail] = received
    parts = [part for part in email.message_from_bytes(mail).walk() if not part.is_multipart()]
    texts = {part.get_content_type(): part.get_payload(decode=True).decode() for part in parts}  # type: ignore[union-attr]
    assert "<img" not in texts.get("text/html", "")
    assert all("<img src" in text or "&lt;img" in text for text in texts.values())
    assert all("onerror=alert(1)" in text and "[2J fern" in text for text in texts.values())
    assert "\x1b" not in "".join(texts.values())


@pytest.mark.parametrize(
    ("url", "is_known"),
    [
        ("slack://T1JJ3T3L2/hush-token/TIiajkdnlazkcOXrIdevi7FQ/#plants", False),
        ("nowhere://hush-token@example.com", False),
        ("hush-token", False),
        ("mailto://hush-token", False),
        ("json://hush-token@example.com", True),
    ],
)
def test_an_address_is_looked_at_without_a_word_of_it(
    url: str, is_known: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        assert is_known_address(url) == is_known
    assert "hush" not in caplog.text + "".join(capfd.readouterr())


def test_an_address_that_is_none_is_named_without_its_token(
    built: Settings, records: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    settings = read_settings(source=built.source, warehouse=built.warehouse, alert_url="slack://T1/hush-token/x")
    rows(settings, "update inventory set inflow = inflow + 1")
    tell(settings, records, _check(settings, records), LOG)
    assert "PLANT_ALERT_URL is not a URL that Apprise supports: see https://appriseit.com" in caplog.text
    assert "inventory_flows_balance" in caplog.text
    assert "hush" not in caplog.text

"""The commands as a user runs them: what they print, how they end, and what they leave."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import dagster as dg
import pytest

from plant_assets.calendar import KNOWN_WEEKS
from plant_assets.checks import published
from plant_assets.checks.build import checks_of
from plant_assets.cli.options import parse_weeks
from plant_assets.contracts import TABLES
from plant_assets.sample import store as sample
from plant_assets.settings import Settings, UsageError, read_settings
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.commands import one_sentence, plant_assets
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.tables import contents

Ran = tuple[Settings, subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def ran(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    warehouse = tmp_path_factory.mktemp("commands") / "analytics.duckdb"
    done = plant_assets("run", "--source", small_store, "--warehouse", warehouse)
    return read_settings(source=small_store, warehouse=warehouse), done


def test_run_ends_with_the_answers(ran: Ran) -> None:
    _settings, done = ran
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Week 2026-10-12 to 2026-10-18 against the week of 2026-10-05; it is not complete")
    assert [line[:22].strip() for line in lines[1:]] == [
        "Inventory changed",
        "Most fluctuating",
        "Out of stock, 3 weeks",
        "Met an empty shelf",
        "Lasts under a week",
        "Funnel of the week",
        "Funnel, whole store",
        "Largest drop-offs",
        "Sales of the week",
        "Buyers of the week",
    ]


def test_run_says_what_it_does_and_no_warning_of_a_library(
    ran: Ran,
) -> None:
    _settings, done = ran
    lines = done.stderr.splitlines()
    assert lines[:2] == ["reading the source", "weeks 2026-09-21 to 2026-10-12"]
    assert "load_source" in lines
    assert [line for line in lines if line.startswith("check")] == [
        # The store ended a while ago.
        line
        for line in lines
        if "are_fresh" in line
    ]
    assert "Warning" not in done.stderr
    assert "leaked" not in done.stderr


def test_the_run_is_in_dagsters_records(ran: Ran) -> None:
    settings, _done = ran
    assert settings.dagster_home.parent == settings.warehouse_path.parent
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        [run] = instance.get_runs()
    assert (run.job_name, run.status) == ("refresh", dg.DagsterRunStatus.SUCCESS)


def test_a_command_closes_what_it_opened(ran: Ran) -> None:
    settings, _done = ran
    left = [path for path in settings.warehouse_path.parent.rglob("*") if path.name.endswith(("-wal", ".wal"))]
    assert left == []


def test_answers_as_json(ran: Ran) -> None:
    settings, _done = ran
    done = plant_assets("answers", "--json", "--warehouse", settings.warehouse_path)
    found = json.loads(done.stdout)
    assert list(found) == [
        "week",
        "previous_week",
        "inventory_changed",
        "most_fluctuating",
        "out_of_stock",
        "met_empty_shelf",
        "lasts_under_a_week",
        "funnel",
        "funnel_week",
        "sales",
        "largest_drop_offs",
    ]
    assert (found["week"], found["previous_week"], found["out_of_stock"]["weeks"]) == ("2026-10-12", "2026-10-05", 3)
    lost = [step["lost"] for step in found["largest_drop_offs"]]
    assert lost == sorted(lost, reverse=True)


def test_check_prints_a_line_for_each_check(ran: Ran) -> None:
    settings, _done = ran
    done = plant_assets("check", "--warehouse", settings.warehouse_path)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines.pop().endswith(" 0 failed on everything that is stored")
    assert len(lines) == sum(len(checks_of(name)) for name in TABLES) + len(published.CHECKS)
    assert {line.split()[0] for line in lines} == {"passed", "warned"}


def test_check_ends_with_1_where_an_error_check_fails(ran: Ran, tmp_path: Path) -> None:
    settings, _done = ran
    shutil.copytree(settings.warehouse_path.parent, tmp_path / "copy")
    copy = read_settings(source=settings.source, warehouse=tmp_path / "copy" / settings.warehouse_path.name)
    with open_warehouse(copy) as warehouse:
        warehouse.execute("update inventory set inflow = inflow + 1")
    done = plant_assets("check", "--warehouse", copy.warehouse_path)
    assert done.returncode == 1
    assert "FAILED  inventory_flows_balance" in done.stdout


def test_a_second_run_changes_no_row(ran: Ran) -> None:
    settings, _done = ran
    before = contents(settings, without=("weeks",))
    done = plant_assets("run", "--source", settings.source_path, "--warehouse", settings.warehouse_path)
    assert done.returncode == 0
    assert contents(settings, without=("weeks",)) == before


def test_run_and_check_speak_of_the_instant_that_is_given(small_store: Path, tmp_path: Path) -> None:
    at = ["--source", small_store, "--warehouse", tmp_path / "w.duckdb", "--as-of"]
    done = plant_assets("run", *at, END.isoformat() + "Z")
    assert done.returncode == 0, done.stderr
    # Without a warning: at that instant the store has just ended.
    assert "raw_events_are_fresh" not in done.stderr
    assert "passed  raw_events_are_fresh" in plant_assets("check", *at, END.isoformat()).stdout
    assert "warned  raw_events_are_fresh" in plant_assets("check", *at, "2026-10-20").stdout


def test_the_instant_of_a_run_is_no_option_for_users() -> None:
    for command in ("run", "check"):
        assert "--as-of" not in plant_assets(command, "--help").stdout


def test_another_source_is_refused_by_name(ran: Ran, tmp_path: Path) -> None:
    settings, _done = ran
    done = plant_assets("run", "--source", tmp_path, "--warehouse", settings.warehouse_path)
    message = one_sentence(done)
    assert done.returncode == 2
    assert str(settings.source_path) in message
    assert str(tmp_path) in message


def test_another_zone_is_refused_by_name(ran: Ran) -> None:
    settings, _done = ran
    done = plant_assets(
        "run", "--source", settings.source_path, "--warehouse", settings.warehouse_path, PLANT_TIMEZONE="Asia/Tokyo"
    )
    assert done.returncode == 2
    assert "timezone UTC, not Asia/Tokyo" in one_sentence(done)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["answers"], {}, "no answers yet in"),
        (["check"], {}, "no warehouse at"),
        (["run", "--source", "nowhere"], {}, "is not a directory: expected the store's tables"),
        (["run", "--source", "mysql://u:secret@h/db"], {}, "PLANT_SOURCE"),
        (["run", "--weeks", "2026-10-13"], {}, "2026-10-13 is not a Monday; its week begins on 2026-10-12"),
        (["run", "--weeks", "soon"], {}, "--weeks soon is not allowed"),
        (["run", "--as-of", "soon"], {}, "--as-of soon is not allowed: an instant like 2026-11-16T06:00:00Z"),
        (["run", "--weeks", "2026-10-12..2026-10-05"], {}, "it ends before it begins"),
        (["answers"], {"PLANT_TIMEZONE": "Mars/Base"}, "PLANT_TIMEZONE=Mars/Base is not allowed: a name of the IANA"),
        (
            ["answers"],
            {"PLANT_START": "2026-10-13"},
            "PLANT_START=2026-10-13 is not allowed: a Monday, like",
        ),
        (["answers"], {"PLANT_START": "0001-01-01"}, f"PLANT_START=0001-01-01 is not allowed: {KNOWN_WEEKS}"),
        (["run", "--weeks", ""], {}, "--weeks  is not allowed: a Monday, two like"),
        (["answers", "--week", ""], {}, "--week  is not allowed: a Monday"),
        (["report", "--week", "0001-01-01"], {}, f"--week 0001-01-01 is not allowed: {KNOWN_WEEKS}"),
        (["sample", "new", "--weeks", "100000"], {}, "--weeks 100000 is not allowed: from 1 to 5000"),
        (["sample", "new", "--end", "0001-01-01"], {}, "--end 0001-01-01 is not allowed: an instant from 1970"),
        (["sample", "/dev/null"], {}, "/dev/null is a file: give an empty folder"),
        (["answers", "--warehouse", "\udcff"], {}, r"PLANT_WAREHOUSE=\udcff is not allowed: a path in UTF-8"),
        (["import-observations", "/dev/null"], {}, "no warehouse at /dev/null"),
        (["answers", "--warehouse", "what?.duckdb"], {}, "a path without a question mark"),
        (["answers"], {"PLANT_LATE_WEEKS": "-1"}, "PLANT_LATE_WEEKS=-1 is not allowed"),
        (["answers"], {"PLANT_MIN_PRODUCTS": "half"}, "PLANT_MIN_PRODUCTS=half is not allowed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_sentence_and_2(
    arguments: list[str], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    done = plant_assets(*arguments, PLANT_HOME=str(tmp_path), **environment)
    assert done.returncode == 2
    assert message in one_sentence(done)
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        *(("start", start, KNOWN_WEEKS) for start in ("0001-01-01", "1969-12-29", "2100-01-04", "9999-12-27")),
        ("source", "", "a path that is not empty"),
        ("warehouse", "", "a path that is not empty"),
        ("warehouse", "/dev/null", "a DuckDB file, or the path of a new one"),
        ("warehouse", "x" * 300, "a path that this machine can resolve (File name too long)"),
        ("warehouse", "~nobody-here/w", "a path that this machine can resolve (Could not determine home directory.)"),
        ("source", "nul\0", "a path that this machine can resolve (embedded null byte)"),
        ("mapping", "\udcff", "a path in UTF-8"),
        ("home", "/dev/null", "a directory"),
    ],
)
def test_a_setting_that_nothing_can_have_is_refused_by_name(name: str, value: str, allowed: str) -> None:
    with pytest.raises(UsageError) as error:
        read_settings(**{name: value})
    assert str(error.value) == f"PLANT_{name.upper()}={value} is not allowed: {allowed}"


@pytest.mark.parametrize("week", ["0001-01-01", "0001-01-03", "1969-12-29", "2100-01-04", "9999-12-27", "9999-12-31"])
def test_weeks_that_no_store_has_are_refused(week: str) -> None:
    with pytest.raises(UsageError, match=f"--weeks {week} is not allowed: {KNOWN_WEEKS}"):
        parse_weeks(week)
    with pytest.raises(UsageError, match=f"--weeks {week} is not allowed: {KNOWN_WEEKS}"):
        parse_weeks(f"2021-02-08..{week}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sessions": -1}, "--sessions -1 is not allowed: from 1 to 1000000000"),
        ({"sessions": 10**30}, "is not allowed: from 1 to 1000000000"),
        ({"products": 10**30}, "is not allowed: from 3 to"),
        ({"seed": 10**30}, "is not allowed: from"),
        ({"weeks": 5_000}, "--weeks 5000 is not allowed: the store would begin before 1970-01-05"),
    ],
)
def test_a_sample_that_no_disk_holds_is_refused(given: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        sample.write(tmp_path / "new", END, **given)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("events.csv", "fifo"),
        ("products/2026-10-15.csv.gz", "fifo"),
        ("orders.parquet", "device"),
        ("events/2026/new.jsonl", "socket"),
    ],
)
def test_what_is_no_file_is_refused_before_anything_is_written(
    place: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, home, path = tmp_path / "store", tmp_path / "home", tmp_path / "store" / place
    path.parent.mkdir(parents=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        (store / "events.csv").write_text("event_id\n")
        (store / "products.csv").write_text("product_id\n")
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as listening:
            monkeypatch.chdir(path.parent)  # a socket's name has at most 107 bytes
            listening.bind(path.name)
    done = plant_assets("run", "--source", store, PLANT_HOME=str(home))
    assert done.returncode == 2
    assert one_sentence(done).startswith(f"{path} of the table {place[:6].rstrip('/.')}")
    assert "is not a regular file: expected a" in done.stderr
    assert not home.exists()


def test_weeks_before_the_first_are_refused(ran: Ran) -> None:
    settings, _done = ran
    done = plant_assets(
        "run", "--weeks", "2020-01-06", "--source", settings.source_path, "--warehouse", settings.warehouse_path
    )
    assert done.returncode == 2
    assert "begins before the store's first week, 2026-09-21" in one_sentence(done)


def test_a_file_that_is_no_warehouse_is_named(tmp_path: Path, small_store: Path) -> None:
    other = tmp_path / "notes.duckdb"
    other.write_text("not a database")
    done = plant_assets("run", "--source", small_store, "--warehouse", other)
    assert done.returncode == 2
    assert f"{other} is no readable warehouse" in one_sentence(done)
    assert other.read_text() == "not a database"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = plant_assets("run", "--debug", "--source", tmp_path / "nowhere", PLANT_HOME=str(tmp_path))
    assert "Traceback" in done.stderr


def test_env_prints_what_bare_dagster_commands_need(tmp_path: Path) -> None:
    done = plant_assets("env", PLANT_HOME=str(tmp_path))
    assert f"export DAGSTER_HOME={tmp_path}/sample.duckdb.dagster" in done.stdout
    assert (tmp_path / "sample.duckdb.dagster" / "dagster.yaml").exists()


def test_sample_says_what_it_wrote(tmp_path: Path) -> None:
    done = plant_assets(
        "sample", tmp_path / "s", "--sessions", 100, "--weeks", 1, "--end", END.isoformat() + "Z", "--format", "parquet"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{tmp_path / 's'}: 2026-10-08T00:00:00 to {END.isoformat()}"


def test_sample_refuses_a_folder_with_other_things(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = plant_assets("sample", tmp_path)
    assert done.returncode == 2
    assert "is not empty and has no sample store" in one_sentence(done)


def test_what_the_commands_write_is_for_its_owner_only(ran: Ran, tmp_path: Path) -> None:
    settings, _done = ran
    done = plant_assets("sample", tmp_path / "new" / "store", "--sessions", 50, "--weeks", 1, "--products", 3)
    assert done.returncode == 0, done.stderr
    written = [*tmp_path.rglob("*"), *settings.warehouse_path.parent.rglob("*")]
    names = {path.name for path in written}
    assert {"store", "products", "sample.json", "analytics.duckdb", "runs.db"} <= names
    assert [str(path) for path in written if path.stat().st_mode & 0o077] == []


REFUSED = {
    "a source that is missing": ("run", "--source", "nowhere"),
    "weeks that have not begun": ("run", "--weeks", "2090-01-02"),
    "weeks before the first": ("run", "--weeks", "2001-01-01"),
    "another store's observations": ("import-observations", "{other}", "--source", "{store}"),
    "a warehouse without answers": ("answers",),
    "a warehouse that is not there": ("check",),
    "an instant that is none": ("forget-observation", "yesterday"),
    "a source that cannot be shown": ("dev", "--source", "nowhere"),
    "a source that cannot be served": ("serve", "code", "--source", "nowhere"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_command_leaves_no_file_behind(name: str, built: Settings, small_store: Path, tmp_path: Path) -> None:
    other_store = tmp_path / "other"
    shutil.copytree(small_store, other_store)
    arguments = [part.format(other=built.warehouse_path, store=other_store) for part in REFUSED[name]]
    place = tmp_path / "place"
    place.mkdir()
    done = plant_assets(*arguments, "--warehouse", place / "new" / "w.duckdb", PLANT_HOME=str(place / "home"))
    assert done.returncode == 2, done.stderr
    assert one_sentence(done)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("text", ["# A page\n", ""])
def test_a_refused_command_leaves_files_that_were_there(text: str, tmp_path: Path, small_store: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    for command in ("run", "doctor", "check"):
        done = plant_assets(command, "--source", small_store, "--warehouse", readme)
        assert done.returncode == 2, done.stdout
        assert "README.md is no " in one_sentence(done)
        assert "warehouse" in one_sentence(done)
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("README.md", text)]

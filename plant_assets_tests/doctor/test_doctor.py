"""What `plant-assets doctor` says of stores that a run can read, and of those that it cannot."""

import datetime as dt
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.cli.runs import Outcome
from plant_assets.doctor.diagnose import CORRECT, diagnose
from plant_assets.doctor.found import Diagnosis
from plant_assets.settings import Settings, read_settings
from plant_assets.sources.errors import SourceError
from plant_assets_tests.support.clicks import CLICKS, MAPPING, click, new_shop
from plant_assets_tests.support.commands import one_sentence, plant_assets
from plant_assets_tests.support.runs import END
from plant_assets_tests.support.small_stores import (
    AS_OF,
    Content,
    Store,
    csv_text,
    diagnosis_of,
    event,
    new_store,
    product,
)


def lines(diagnosis: Diagnosis, section: str) -> dict[str, str]:
    return dict(diagnosis.sections.get(section, []))


def files_below(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_store_that_is_loaded(built: Settings) -> None:
    before = files_below(built.warehouse_path.parent)
    found = diagnose(built, END, [])
    assert (found.odd, found.error, found.next_command) == ([], None, "plant-assets answers")
    assert files_below(built.warehouse_path.parent) == before
    source = lines(found, "Source")
    assert source["events"].startswith("21 files, ")
    assert source["weeks of events"] == "4, from 2026-09-21 to 2026-10-18"
    assert source["observations"] == "82, from 2026-09-24 00:00:00 to 2026-10-14 06:00:00 UTC"
    assert source["products"].endswith(" in the last observation")
    warehouse = lines(found, "Warehouse")
    assert warehouse["store"] == built.source
    assert warehouse["published"].endswith("UTC, 4 weeks, the last 2026-10-12")


def test_a_store_that_is_never_observed_twice_within_the_gap(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    store = new_store(tmp_path)
    for day in ("2021-03-01", "2021-03-02"):
        store.put(f"products/{day}.csv", [product("p1")])
    store.put("events.csv", [event("e1", "2021-03-02T12:00:00Z")])
    refresh(store.settings, as_of=AS_OF)
    assert [odd for odd in diagnosis_of(store).odd if "within 12 hours of each other" in odd]
    daily = store.under(max_gap_hours=24.0)
    refresh(daily.settings, as_of=AS_OF)
    assert not [odd for odd in diagnosis_of(daily).odd if "of each other" in odd]


def test_a_source_that_changed_since_is_to_be_run(built: Settings, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(str(built.source), moved)
    same = built.model_copy(update={"source": str(moved)})
    found = diagnose(same, END, ["--warehouse", "w.duckdb"])
    assert "holds the store with source" in str(found.error)
    assert found.next_command == "plant-assets run --accept-source --warehouse w.duckdb"
    (moved / "events.csv").touch()
    assert "gives the table events twice" in str(diagnose(same, END, []).error)
    newer = moved / "events" / "2026-10-14.csv"
    os.utime(Path(str(built.source)) / "events" / newer.name, (2e9, 2e9))
    assert diagnose(built, END, []).next_command == "plant-assets run"


def test_a_store_of_clicks(tmp_path: Path) -> None:
    found = diagnosis_of(new_shop(tmp_path), AS_OF)
    assert found.sections["Configuration"][3:] == [
        ("PLANT_HOME", str(tmp_path / "home")),
        ("mapping", str(tmp_path / "mapping.yaml")),
        ("stages", "page_view, add_to_cart, checkout"),
    ]
    assert found.sections["Source"] == [
        ("events (clicks)", "1 file, 9 rows"),
        ("products", "none"),
        ("orders", "none"),
        ("order_items", "none"),
        ("first event", "2021-02-23 10:00:00 UTC"),
        ("last event", "2021-03-01 11:00:00 UTC"),
        ("weeks of events", "2, from 2021-02-22 to 2021-03-07"),
        ("sessions", "3"),
        ("event types", "page_view 5, add_to_cart 1, checkout 1, other package_shipped 1, remove_from_cart 1"),
        ("observations", "products are made from the events, at the latest one"),
    ]
    assert found.odd == [
        "no stage, and in no funnel: other package_shipped (1), remove_from_cart (1); event_types of PLANT_MAPPING"
        " makes stages of them",
        "sales leave out 1 checkout without an order; a click log alone has no sales",
        "the last event is of 2021-03-01 11:00:00 UTC: raw_events_are_fresh warns from 12 hours on",
    ]
    assert (found.error, found.next_command) == (None, "plant-assets run --source 'a b'")


def test_statuses_of_orders_are_counted(tmp_path: Path) -> None:
    (tmp_path / "mapping.yaml").write_text("not_sold: [cancelled, refused]\n")
    store = new_store(tmp_path, mapping=tmp_path / "mapping.yaml")
    store.put("events.csv", [event(f"e{number}", "2021-03-03", event_type="checkout") for number in range(2)])
    statuses = ["paid", "cancelled", None, "paid"]
    others = dict.fromkeys(("user_id", "created_at", "order_total"))
    orders = [{"order_id": f"o{number}", "status": each, **others} for number, each in enumerate(statuses)]
    store.put("orders.csv", orders)
    found = diagnosis_of(store)
    assert lines(found, "Source")["order statuses"] == "paid 2, cancelled 1 (not sold), without one 1"
    assert "sales leave out 2 checkouts without an order" in found.odd
    assert "no order has the status refused, which not_sold of PLANT_MAPPING names" in found.odd


def test_what_is_odd(tmp_path: Path) -> None:
    store = new_store(tmp_path, max_rejected=0.5, start=dt.date(2021, 3, 1))
    store.remove("products/2021-02-08.csv")
    store.put("products.csv", [product("p1")])
    store.put(
        "events.csv",
        [
            event("e1", "2021-02-20 00:00:00"),
            event("e2", "2021-03-03 11:00:00"),
            event("e3", "2021-03-09 00:00:00", event_type="wish"),
            event("e4", "soon"),
        ],
    )
    found = diagnosis_of(store)
    assert lines(found, "Source")["events"] == "1 file, 4 rows, 1 of them refused"
    assert lines(found, "Source")["observations"] == "one at each run: the file is not dated"
    assert found.odd == [
        "there is no order_items: checkout and package_shipped count for the product that each event names, if any",
        "no stage, and in no funnel: wish (1); event_types of PLANT_MAPPING makes stages of them",
        "no event is of the stage add_to_cart or checkout or package_shipped: its counts are 0; event_types of"
        " PLANT_MAPPING says which stages there are",
        "products.csv is not dated: stock has a history from the first run on, as fine as the runs",
        "1 event over a day ahead: refused until then",
        "1 of 4 rows of events refused, first events.csv, line 5, created_at: 'soon' is not a timestamp (instants are"
        " text like 2026-10-05T09:00:00Z, or as time.format of a mapping says)",
        "there are events before PLANT_START=2021-03-01: they are refused",
    ]


@pytest.mark.parametrize(
    ("early", "recent", "said"),
    [
        (["1999-05-05"], 40, "1 event over a year before all others, the first of 1999-05-05 00:00:00 UTC:"),
        (
            ["1999-05-05", "2010-01-01"],
            40,
            "2 events over a year before all others, the first of 1999-05-05 00:00:00 UTC:",
        ),
        (["1999-05-05"] * 11, 40, None),
        (["2020-03-02"], 40, None),
    ],
)
def test_few_events_before_a_gap_are_named(
    tmp_path: Path, early: list[str], recent: int, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    store = new_store(tmp_path)
    instants = [*early, *["2021-03-02 10:00:00"] * recent]
    store.put("events.csv", [event(f"e{number}", at) for number, at in enumerate(instants)])
    named = [odd for odd in diagnosis_of(store).odd if "PLANT_START" in odd]
    leaves = "leaves it out" if len(early) == 1 else "leaves them out"
    assert named == ([f"{said} PLANT_START=2021-02-08 {leaves}"] if said else [])
    caplog.clear()
    store.plan()
    assert [text for text in caplog.messages if "over a year" in text] == named
    assert not [odd for odd in diagnosis_of(store.under(start=dt.date(2021, 3, 1))).odd if "over a year" in odd]


def test_observations_before_a_gap_are_named(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.put("products/1999-05-05.csv", [product("p1")])
    store.put("events.csv", [event("e1", "2021-03-02 10:00:00")])
    named = "1 observation over a year before all others, the first of 1999-05-05 00:00:00 UTC:"
    assert f"{named} PLANT_START=2021-02-08 leaves out the weeks before" in diagnosis_of(store).odd


@pytest.mark.parametrize(
    ("events", "observed", "said"),
    [
        (["2021-03-02"], ["1999-05-05"], ["1 observation PLANT_START=2021-03-01"]),
        (["2021-01-05", "2021-03-02"], ["1999-05-05", "2021-02-08"], ["1 observation PLANT_START=2021-01-04"]),
        (["1999-05-05", "2021-03-02"], ["2020-03-02", "2021-02-08"], ["1 event PLANT_START=2020-03-02"]),
        (
            ["1999-05-05", "2021-03-02"],
            ["1999-05-06", "2021-02-08"],
            ["1 event PLANT_START=2021-02-08", "1 observation PLANT_START=2021-02-08"],
        ),
        (["2019-05-05"], ["2021-02-08"], []),
    ],
)
def test_what_is_named_before_a_gap_leaves_the_rest_as_it_is(
    tmp_path: Path, events: list[str], observed: list[str], said: list[str]
) -> None:
    store = new_store(tmp_path, products=f"products/{observed[0]}.csv")
    for date in observed[1:]:
        store.put(f"products/{date}.csv", [product("p1"), product("p2")])
    store.put("events.csv", [event(f"e{number}", f"{at} 10:00:00") for number, at in enumerate(events)])
    named = [odd for odd in diagnosis_of(store).odd if "over a year" in odd]
    assert [re.sub(" over.*: (PLANT_START=[^ ]+) .*", r" \1", odd) for odd in named] == said


def test_a_future_event_makes_no_gap(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.put("events.csv", [event("e1", "2021-03-02 10:00:00"), event("e2", "2031-03-02")])
    assert not [odd for odd in diagnosis_of(store).odd if "over a year" in odd]


def test_a_loaded_gap_is_left_out_by_a_new_warehouse_only(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.put("events.csv", [event("e1", "2019-05-05"), event("e2", "2021-03-02 10:00:00")])
    store.load()
    named = [odd for odd in diagnosis_of(store).odd if "over a year" in odd]
    assert named[0].endswith("UTC: PLANT_START=2021-02-08 of a new --warehouse leaves it out")
    late = store.under(start=dt.date(2021, 3, 1))
    assert str(diagnosis_of(late).error).endswith("the first week of the warehouse; a new --warehouse may begin later")


def test_words_for_no_value_are_counted(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    rows = [("NULL", "a"), ("nan", "NULL"), ("NULL", "b"), (None, "NULL"), ("p1", "c")]
    store.put(
        "events.csv",
        [event(f"e{at}", "2021-03-02", product_id=text, page_url=url) for at, (text, url) in enumerate(rows)],
    )
    said = "3 words of events taken for no value: product_id NULL (2), product_id nan (1); nulls of PLANT_MAPPING says"
    assert f"{said} which words are" in diagnosis_of(store).odd


def _changed_observation(store: Store) -> None:
    store.put("products/2021-02-08.csv", [product("p1", inventory="7"), product("p2")])


def _lost_events(store: Store) -> None:
    store.put("events.csv", [event("e1", "2021-03-02")])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_changed_observation, "changed after it was loaded as the observation of"),
        (_lost_events, "has 1 rows where 40 rows were loaded before, less than PLANT_MIN_ROWS=0.5 allows"),
    ],
)
def test_a_change_that_a_run_refuses_is_refused(tmp_path: Path, change: Callable[[Store], None], problem: str) -> None:
    store = new_store(tmp_path)
    store.put("events.csv", [event(f"e{number}", "2021-03-02") for number in range(40)])
    store.load()
    assert diagnosis_of(store).error is None
    change(store)
    before, found = files_below(tmp_path), diagnosis_of(store)
    assert problem in str(found.error)
    assert " run " not in f" {found.next_command} "
    assert files_below(tmp_path) == before
    with pytest.raises(SourceError) as caught:
        store.load()
    assert str(caught.value) == str(found.error)


def test_rejected_rows_of_a_loaded_store_are_listed(tmp_path: Path) -> None:
    store = new_store(tmp_path, max_rejected=0.9)
    store.put("events.csv", [event("e1", "2021-03-02"), event("e2", "soon")])
    store.load()
    stricter = store.under(max_rejected=0.05)
    found = diagnose(stricter.settings, AS_OF, [], lists_rejected=True)
    assert found.error is None
    listed = dict(found.rejected)["events"]
    assert listed.startswith("events.csv, line 3, created_at: 'soon' is not a timestamp")


@pytest.mark.parametrize("mapping", ["mapping.yaml", "nowhere.yaml"])
@pytest.mark.parametrize("command", [["doctor"], ["run"], ["dev"], ["serve", "code"]])
def test_a_mapping_without_a_source_is_refused(tmp_path: Path, command: list[str], mapping: str) -> None:
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    path = tmp_path / mapping
    done = plant_assets(*command, PLANT_HOME=str(tmp_path / "home"), PLANT_MAPPING=str(path))
    assert done.returncode == 2
    assert one_sentence(done) == (
        f"PLANT_MAPPING={path} is set, and no source is: name the source that it maps as --source or"
        " PLANT_SOURCE, or do not set PLANT_MAPPING for the sample store"
    )
    assert not (tmp_path / "home").exists()


def test_a_store_that_a_run_would_refuse(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.put("events.csv", [event("e1", "2021-03-03"), event("e2", "soon")])
    found = diagnosis_of(store)
    assert "1 of 2 rows of the table events cannot be loaded, more than PLANT_MAX_REJECTED=0.05" in str(found.error)
    assert found.next_command == "plant-assets doctor --rejected --source 'a b'"


@pytest.mark.parametrize(
    ("products", "problem"),
    [
        ({"products/2021-03-09.csv": [product("p1")]}, "has not come yet: mend its name"),
        ({"products/2021-02-08.csv": [product("p1"), product("p1", inventory="3")]}, "product_id: conflict with line"),
    ],
)
def test_a_run_would_refuse_what_no_row_alone_shows(tmp_path: Path, products: dict[str, Content], problem: str) -> None:
    store = new_store(tmp_path)
    store.put("events.csv", [event("e1", "2021-03-03")])
    for name, content in products.items():
        store.put(name, content)
    found = diagnosis_of(store)
    assert problem in str(found.error)
    assert "run" not in found.next_command
    with pytest.raises(SourceError) as caught:
        store.load()
    assert str(caught.value) == str(found.error)


def test_dbts_history_is_known(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    store.put("events.csv", [event("e1", "2021-03-03 11:00:00")])
    history = {"dbt_valid_from": "2021-02-01", "dbt_valid_to": "2021-02-02", "dbt_scd_id": "x", "dbt_updated_at": None}
    store.put("products_snapshot.csv", [product("p1", **history)])
    source = lines(diagnosis_of(store), "Source")
    assert source["products_snapshot"] == "1 file, 1 row"
    assert source["dbt's history"] == "2 observations, from 2021-02-01 00:00:00 to 2021-02-02 00:00:00 UTC"
    assert source["observations"].startswith("1, from 2021-02-08")
    store.remove("products/2021-02-08.csv")
    alone = diagnosis_of(store)
    assert "observations" not in lines(alone, "Source")
    assert (alone.error, lines(alone, "Source")["products"]) == (None, "none")


@pytest.mark.parametrize("name", ["clicks.csv", "clicks.parquet", "clicks.jsonl.gz", "clicks/2021/1.csv"])
def test_a_store_with_other_names_is_told_what_is_found(tmp_path: Path, name: str) -> None:
    store = new_store(tmp_path)
    store.put(name, CLICKS)
    found = diagnosis_of(store)
    assert "has no table events" in str(found.error)
    assert found.odd[0].startswith(f"{name} has the columns ")
    assert "user_session" in found.odd[0]
    assert found.odd[2].startswith("a store with other names is read by PLANT_MAPPING, which makes of them: events has")
    assert found.next_command == CORRECT


def test_columns_that_are_not_found_are_named(tmp_path: Path) -> None:
    shop = new_shop(tmp_path, MAPPING.replace("user_session", "session"))
    assert "the table events lacks session; columns found: event_time, " in str(diagnosis_of(shop).error)


def test_an_empty_source(tmp_path: Path) -> None:
    shop = new_shop(tmp_path, content=csv_text([click("", "", None, None, None)]).splitlines()[0] + "\n")
    found = diagnosis_of(shop)
    assert (found.error, found.odd[-1]) == (None, "there is no event")


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"PLANT_SOURCE": "nowhere"}, "is not a directory: expected the store's tables"),
        ({"PLANT_SOURCE": "."}, "has no table events"),
        ({"PLANT_SOURCE": ".", "PLANT_TIMEZONE": "Berlin"}, "PLANT_TIMEZONE=Berlin is not allowed"),
        ({"PLANT_SOURCE": ".", "PLANT_MAPPING": "nowhere.yaml"}, "nowhere.yaml cannot be read: No such file"),
    ],
)
def test_what_cannot_be_read_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = plant_assets("doctor", PLANT_HOME=str(tmp_path / "home"), **environment)
    assert done.returncode == 2
    assert problem in one_sentence(done)
    assert list(tmp_path.iterdir()) == []


def test_without_a_source_the_sample_store_comes_next(tmp_path: Path) -> None:
    done = plant_assets("doctor", PLANT_HOME=str(tmp_path))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Next: plant-assets run")
    assert list(tmp_path.iterdir()) == []


def test_what_is_secret_is_not_shown(tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path, alert_url="json://user:pass1word@example.org")
    assert "pass1word" not in str(diagnose(settings, AS_OF, []))

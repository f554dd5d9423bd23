"""A store that is read by a mapping: what its rows become, and what follows when store or mapping change."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.sources.errors import SourceError
from plant_assets_tests.support.clicks import CLICKS, MAPPING, click, new_shop
from plant_assets_tests.support.small_stores import (
    AS_OF,
    Store,
    assert_accounted,
    csv_text,
    product,
    rebuilt,
    with_types,
)

PRODUCTS = "select observed_at, product_id, name, price, inventory from raw_products order by all"


@pytest.fixture
def shop(new_either: Callable[..., Store], tmp_path: Path) -> Store:
    """The store of clicks, in files or in a database, where all its columns are text."""
    return new_shop(tmp_path, new=new_either)


@pytest.fixture
def files(tmp_path: Path) -> Store:
    """The store of clicks in files."""
    return new_shop(tmp_path)


def without_history(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """What loads have written but the products: at a rebuild they are observed once."""
    contents = store.contents()
    loads = [row for row in contents["_loads"] if row[0] != "products"]
    return {**contents, "raw_products": [], "raw_observations": [], "_loads": loads}


@pytest.mark.parametrize(
    ("new_either", "name"),
    [*(("files", f"clicks.{each}") for each in ("csv", "csv.gz", "parquet", "jsonl")), ("database", "clicks.csv")],
    indirect=["new_either"],
)
def test_rows_are_the_same_in_every_format_and_in_a_database(shop: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    folder = new_shop(tmp_path / "other")
    shop.remove("clicks/1.csv")
    shop.put(name, CLICKS)
    for store in (folder, shop):
        store.load()
    assert shop.contents()["raw_events"] == folder.contents()["raw_events"]
    assert shop.contents()["raw_products"] == folder.contents()["raw_products"]
    assert_accounted(shop, events=9, products=2)


def test_events_have_our_names_and_types(shop: Store) -> None:
    shop.load()
    assert shop.rows(
        "select session_id, user_id, page_url, created_at::varchar, event_type, order_id, product_id"
        " from raw_events where session_id <> 's3' order by created_at"
    ) == [
        ("s1", "u1", None, "2021-02-23 10:00:00", "page_view", None, "fern"),
        ("s1", "u1", None, "2021-02-23 10:01:00", "add_to_cart", None, "fern"),
        ("s1", "u1", None, "2021-02-23 10:02:00", "checkout", None, "fern"),
        ("s2", "u1", None, "2021-02-24 10:00:00", "page_view", None, "moss"),
        ("s2", "u1", None, "2021-02-24 10:01:00", "remove_from_cart", None, "moss"),
        ("s2", "u1", None, "2021-02-24 10:02:00", "other package_shipped", None, "moss"),
    ]
    assert shop.rows("select sum(rows_dropped) from _loads") == [(1,)]


def test_products_are_those_of_the_events_at_the_latest_one(shop: Store) -> None:
    shop.load()
    at = dt.datetime(2021, 3, 1, 11)
    found = [(*row[:3], str(row[3]), row[4]) for row in shop.rows(PRODUCTS)]
    assert found == [(at, "fern", "fern", "9.5000", None), (at, "moss", "moss", "2.5000", None)]


def test_loading_again_changes_nothing(shop: Store) -> None:
    shop.load()
    before, writes = shop.contents(), shop.rows("from _writes where table_name = 'raw_products'")
    shop.load(AS_OF + dt.timedelta(hours=6))
    assert shop.contents() == before
    assert shop.rows("from _writes where table_name = 'raw_products'") == writes


def test_late_added_changed_and_lost_files_give_the_rows_of_a_rebuild(shop: Store, tmp_path: Path) -> None:
    shop.load()
    shop.put("clicks/2.csv", [click("2021-03-02 10:00:00", "view", "palm", "20", "s4")])
    assert shop.load().ranges == [(dt.date(2021, 2, 22), dt.date(2021, 3, 1))]
    assert without_history(shop) == without_history(rebuilt(shop, tmp_path / "added"))
    late = click("2021-02-25 10:00:00", "view", "rose", "7", "s5")
    # Lines that are added at the end, of a week that is stored.
    shop.put("clicks/2.csv", [click("2021-03-02 10:00:00", "view", "palm", "20", "s4"), late])
    shop.load()
    assert without_history(shop) == without_history(rebuilt(shop, tmp_path / "grown"))
    assert [row[1] for row in shop.rows(PRODUCTS) if row[0] == dt.datetime(2021, 3, 2, 10)] == [
        "fern",
        "moss",
        "palm",
        "rose",
    ]
    shop.put("clicks/1.csv", CLICKS[:-2])
    shop.load()
    assert without_history(shop) == without_history(rebuilt(shop, tmp_path / "changed"))
    shop.remove("clicks/2.csv")
    shop.load()
    assert without_history(shop) == without_history(rebuilt(shop, tmp_path / "lost"))
    # What was observed at the latest event is observed again, though that event is gone.
    assert [row[1] for row in shop.rows(PRODUCTS) if row[0] == dt.datetime(2021, 3, 2, 10)] == ["fern", "moss"]
    assert [str(row[3]) for row in shop.rows(PRODUCTS) if row[1] == "moss"][-1] == "3.0000"
    assert_accounted(shop, events=7)


def test_products_are_seen_by_the_runs_that_saw_new_events(shop: Store) -> None:
    shop.load()
    shop.put("clicks/2.csv", [click("2021-03-02 10:00:00.7", "view", "moss", "2", "s4")])
    path = Path(str(shop.settings.mapping))
    path.write_text(MAPPING.replace('"%Y-%m-%d %H:%M:%S UTC"', '"%Y-%m-%d %H:%M:%S.%f UTC"'))
    shop.put("clicks/1.csv", [{**each, "event_time": f"{each['event_time']}"[:-4] + ".0 UTC"} for each in CLICKS])
    shop.load()
    # Read by another mapping, what was made by the one before is taken back; an instant is a whole second.
    assert {row[0] for row in shop.rows(PRODUCTS)} == {dt.datetime(2021, 3, 2, 10)}
    shop.put("clicks/3.csv", [click("2021-03-03 10:00:00.0", "view", "moss", "1", "s4")])
    shop.load()
    assert [str(row[3]) for row in shop.rows(PRODUCTS) if row[1] == "moss"] == ["2.0000", "1.0000"]
    assert_accounted(shop, events=11)


def test_another_mapping_reads_everything_anew(shop: Store, tmp_path: Path) -> None:
    shop.load()
    assert shop.plan().ranges == [(dt.date(2021, 2, 22), dt.date(2021, 3, 1))]
    before = shop.contents()
    mapping = Path(str(shop.settings.mapping))
    mapping.write_text(f"# A comment reads nothing anew.\n{MAPPING}")
    shop.load()
    assert shop.contents() == before
    zone = MAPPING.replace("time:\n", "time:\n  zone: Europe/Berlin\n").replace(" UTC", "").replace("%S", "%S UTC")
    mapping.write_text(zone)
    shop.load()
    assert shop.contents() == rebuilt(shop, tmp_path / "other").contents()
    assert shop.rows("select min(created_at) from raw_events") == [(dt.datetime(2021, 2, 23, 9),)]
    mapping.write_text(MAPPING)
    shop.load()
    assert shop.contents() == before


def test_dated_products_are_accepted_under_another_mapping(tmp_path: Path) -> None:
    shop = new_shop(tmp_path, MAPPING.replace("products: none", "products: stock"))
    shop.put("stock/2021-02-24.csv", [product("fern"), product("moss")])
    shop.put("stock/2021-03-01.csv", [product("fern")])
    shop.load()
    mapping = Path(str(shop.settings.mapping))
    mapping.write_text(mapping.read_text().replace("time:", "constants:\n  products: {name: Plant}\ntime:"))
    shop.load()
    assert shop.contents() == rebuilt(shop, tmp_path / "other").contents()
    assert {row[2] for row in shop.rows(PRODUCTS)} == {"Plant"}
    shop.put("stock/2021-03-01.csv", [product("moss")])
    with pytest.raises(SourceError, match="changed after it was loaded"):
        shop.load()


def test_a_store_may_get_its_products_later(shop: Store, tmp_path: Path) -> None:
    shop.load()
    Path(str(shop.settings.mapping)).write_text(MAPPING.replace("products: none", "products: stock"))
    shop.put("stock/2021-02-24.csv", [product("fern")])
    shop.load()
    assert shop.contents() == rebuilt(shop, tmp_path / "other").contents()


@pytest.mark.parametrize(
    ("at", "instant"),
    [
        ("2021-02-23 10:00:00", "2021-02-23 09:00:00"),
        ("2021-02-23 10:00:00+00:00", "2021-02-23 10:00:00"),
        ("2021-02-23 10:00:00Z", "2021-02-23 10:00:00"),
        ("2021-02-23T10:00:00.5 America/New_York", "2021-02-23 15:00:00.5"),
        ("2021-02-23", "2021-02-22 23:00:00"),
        # Skipped in 2020 by the offset before; repeated in its first pass; summer time.
        ("2020-03-29 02:30:00", "2020-03-29 01:30:00"),
        ("2020-03-29 03:00:00", "2020-03-29 01:00:00"),
        ("2020-10-25 02:30:00", "2020-10-25 00:30:00"),
        ("2020-10-25 03:00:00", "2020-10-25 02:00:00"),
        ("1975-01-01 00:00:00", "1974-12-31 23:00:00"),
        ("soon", None),
    ],
)
@pytest.mark.parametrize(
    ("new_either", "name"),
    [*(("files", f"events.{each}") for each in ("csv", "jsonl", "parquet")), ("database", "events.csv")],
    indirect=["new_either"],
)
def test_instants_without_an_offset_are_of_the_zone(
    new_either: Callable[..., Store], tmp_path: Path, name: str, at: str, instant: str | None
) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text("time: {zone: Europe/Berlin}")
    store = with_types(new_either(mapping=path))
    names = ("event_id", "session_id", "user_id", "page_url", "created_at", "event_type", "order_id", "product_id")
    row = dict.fromkeys(names, "x")
    store.put(name, [{**row, "created_at": at}])
    found = store.staged("events", "created_at::varchar, reason")
    assert found == [(instant, None if instant else "not a timestamp")]


@pytest.mark.parametrize(
    ("new_either", "kind", "clock"),
    [
        ("files", "text", "%d.%m.%Y %H:%M"),
        ("files", "text", "%Y-%m-%d %H:%M:%S"),
        ("database", "text", "%d.%m.%Y %H:%M"),
        ("database", "timestamp", "%Y-%m-%d %H:%M:%S"),
    ],
    indirect=["new_either"],
)
def test_python_reads_the_clocks_as_the_engine_does(
    new_either: Callable[..., Store], tmp_path: Path, kind: str, clock: str
) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(f'time: {{zone: Europe/Berlin, format: "{clock}"}}')
    store = with_types(new_either(mapping=path), created_at=kind)
    berlin = store.under(timezone="Europe/Berlin").settings.calendar.zone
    clocks = [dt.datetime(2021, 3, 27) + dt.timedelta(minutes=7 * number) for number in range(600)]
    clocks += [dt.datetime(2021, 10, 30) + dt.timedelta(minutes=7 * number) for number in range(600)]
    row = dict.fromkeys(("session_id", "user_id", "page_url", "event_type", "order_id", "product_id"), "x")
    store.put("events.csv", [{**row, "event_id": f"{at}", "created_at": f"{at:{clock}}"} for at in clocks])
    found = dict(store.staged("events", "event_id, created_at"))
    assert found == {str(at): at.replace(tzinfo=berlin).astimezone(dt.UTC).replace(tzinfo=None) for at in clocks}


def test_constants_stand_in_every_row(new_either: Callable[..., Store], tmp_path: Path) -> None:
    constants = 'constants:\n  events: {page_url: "it\'s", user_id: 7}\n'
    shop = new_shop(tmp_path, MAPPING.replace("    page_url: none\n", "") + constants, new=new_either)
    shop.load()
    assert shop.rows("select distinct page_url, user_id from raw_events") == [("it's", "7")]


def test_a_refused_row_is_shown_as_it_stands_in_the_file(files: Store) -> None:
    shop = files
    rows = [*CLICKS * 5, click("2021-03-01 12:00:00", "view", "moss", "1", None)]
    shop.put("clicks/1.csv", rows)
    shop.load()
    assert shop.refusals() == [("clicks/1.csv", 47, "session_id", "missing")]
    assert shop.rows("select raw_text from rejected_rows") == [(csv_text(rows).splitlines()[-1],)]
    assert_accounted(shop, events=46, products=2)


def test_a_table_or_column_that_is_missing_is_named_as_the_store_names_it(files: Store) -> None:
    shop = files
    shop.put("clicks/2.csv", [{"event_time": "2021-02-23 10:00:00 UTC", "product_id": "fern"}])
    with pytest.raises(SourceError, match="events lacks user_session, user_id, event_type, price; columns found"):
        shop.load()
    for each in ("1", "2"):
        shop.remove(f"clicks/{each}.csv")
    with pytest.raises(SourceError, match=r"no table events: expected clicks\.<ext> or a folder clicks/"):
        shop.load()


@pytest.mark.parametrize(
    ("new_either", "name"),
    [*(("files", f"Clicks.{each}") for each in ("csv", "parquet", "jsonl")), ("database", "Clicks.csv")],
    indirect=["new_either"],
)
def test_names_with_spaces_dots_and_capitals_are_read(
    new_either: Callable[..., Store], tmp_path: Path, name: str
) -> None:
    mapping = MAPPING.replace("created_at: event_time", 'created_at: "Event.Time of day ü"')
    shop = new_shop(tmp_path, mapping.replace("events: clicks", "events: Clicks"), new=new_either)
    shop.remove("clicks/1.csv")
    renamed = [{"Event.Time of day ü" if key == "event_time" else key: each[key] for key in each} for each in CLICKS]
    shop.put(name, renamed)
    shop.load()
    assert shop.rows("select count(*) from raw_events") == [(8,)]

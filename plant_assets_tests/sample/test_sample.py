"""The made-up store: the shapes it holds, that it is the same each time, and that extending is writing once."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from plant_assets.sample import store as sample
from plant_assets.settings import UsageError
from plant_assets_tests.support.runs import END

AT_LEAST_FIVE = {
    "bounces": "select session_id from events group by 1 having count(*) = 1",
    "browses without a cart": "select session_id from events group by 1"
    " having count(*) > 1 and bool_and(event_type = 'page_view')",
    "leaves a cart": "select session_id from events group by 1"
    " having bool_or(event_type = 'add_to_cart') and not bool_or(event_type = 'checkout')",
    "checks out and is not shipped": "select session_id from events group by 1"
    " having bool_or(event_type = 'checkout') and not bool_or(event_type = 'package_shipped')",
    "crosses midnight": "select session_id from events group by 1"
    " having min(created_at)::date <> max(created_at)::date",
    "crosses midnight while browsing": "select session_id from events where event_type = 'page_view' group by 1"
    " having min(created_at)::date <> max(created_at)::date",
    "crosses a week's end": "select session_id from events group by 1"
    " having date_trunc('week', min(created_at)) <> date_trunc('week', max(created_at))",
    "buys several products": "select order_id from order_items group by 1 having count(*) > 1",
    "an order has two lines of one product": "select order_id from order_items group by order_id, product_id"
    " having count(*) > 1",
    "ships hours later": "select session_id from events group by 1 having"
    " max(created_at) filter (where event_type = 'package_shipped')"
    " - max(created_at) filter (where event_type = 'checkout') > interval 3 hour",
    "is restocked": "select * from moves where inventory > before and before > 0",
    "runs out": "select * from moves where inventory = 0 and before > 0",
    "comes back into stock": "select * from moves where inventory > 0 and before = 0",
    "changes its price": "select * from moves where price <> price_before",
}
ONCE = {
    "a product leaves": "select product_id from products group by 1"
    " having max(observed_at) < (select max(observed_at) from products)",
    "a product is new": "select product_id from products group by 1"
    " having min(observed_at) > (select min(observed_at) from products)",
}


def _open(store: Path, file_format: str = "csv") -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    reader = f"read_{file_format}"
    for table in ("events", "orders", "order_items"):
        files = str(store / table / f"*.{file_format}")
        options = ", all_varchar = true" if file_format == "csv" else ""
        connection.execute(f"create table raw as from {reader}('{files}'{options})")
        casts = {"events": "created_at::timestamptz at time zone 'UTC'", "orders": "created_at::timestamptz"}.get(table)
        replace = f" replace ({casts} as created_at)" if casts else ""
        connection.execute(f"create table {table} as select *{replace} from raw; drop table raw")
    files = str(store / "products" / f"*.{file_format}")
    connection.execute(
        "create table products as select * exclude (filename), strptime(parse_filename(filename, true),"
        f" '%Y-%m-%dT%H-%M-%SZ') as observed_at from {reader}('{files}', filename = true)"
    )
    connection.execute(
        "create table moves as select *, lag(inventory) over w as before, lag(price) over w as price_before"
        " from products window w as (partition by product_id order by observed_at)"
    )
    return connection


@pytest.fixture(scope="module")
def store(sample_store: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with _open(sample_store) as connection:
        yield connection


@pytest.mark.parametrize("shape", AT_LEAST_FIVE)
def test_holds_each_shape_five_times(shape: str, store: duckdb.DuckDBPyConnection) -> None:
    assert len(store.execute(AT_LEAST_FIVE[shape]).fetchall()) >= 5


@pytest.mark.parametrize("shape", ONCE)
def test_holds_once(shape: str, store: duckdb.DuckDBPyConnection) -> None:
    assert len(store.execute(ONCE[shape]).fetchall()) == 1


def test_has_thirty_plants_seen_every_six_hours_to_the_end(store: duckdb.DuckDBPyConnection) -> None:
    products, first, last = store.execute(
        "select count(distinct product_id), min(observed_at), max(observed_at) from products"
    ).fetchall()[0]
    assert products == 30
    assert last == END
    gaps = store.execute(
        "select distinct observed_at - lag(observed_at) over (order by observed_at)"
        " from (select distinct observed_at from products)"
    ).fetchall()
    assert {gap for (gap,) in gaps if gap} == {dt.timedelta(hours=6)}
    assert (last - first).days == 83


def test_orders_agree_with_stock(store: duckdb.DuckDBPyConnection) -> None:
    """Stock only falls by what was ordered since the observation before: the rest of each move is a delivery."""
    unexplained = store.execute(
        """
        with sold as (select product_id, created_at at time zone 'UTC' as sold_at, quantity::bigint as quantity
                      from order_items join orders using (order_id)),
        intervals as (select product_id, observed_at, inventory - before as change,
            lag(observed_at) over (partition by product_id order by observed_at) as since from moves)
        select i.product_id, i.observed_at, change, sum(quantity) as units
        from intervals i left join sold s on s.product_id = i.product_id and sold_at > since
            and sold_at <= i.observed_at
        where change is not null group by all having change + coalesce(units, 0) < 0"""
    ).fetchall()
    assert unexplained == []
    assert store.execute("select min(inventory) from products").fetchall() == [(0,)]


def test_every_order_has_its_checkout_and_its_items(store: duckdb.DuckDBPyConnection) -> None:
    of_events = "select order_id from events where event_type = 'checkout'"
    for other in ("select order_id from orders", "select distinct order_id from order_items"):
        assert store.execute(f"({of_events} except {other}) union ({other} except {of_events})").fetchall() == []


def _files(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}


def test_extending_is_writing_once(tmp_path: Path) -> None:
    week = dt.timedelta(days=7)
    for end in (END - week, END - dt.timedelta(days=2), END - dt.timedelta(hours=3), END):
        sample.write(tmp_path / "grown", end, sessions=300, weeks=2, products=5)
    sample.write(tmp_path / "once", END, sessions=300, weeks=3, products=5)
    assert _files(tmp_path / "grown") == _files(tmp_path / "once")


def test_parquet_holds_the_rows_of_csv(tmp_path: Path) -> None:
    for file_format in sample.FORMATS:
        sample.write(tmp_path / file_format, END, sessions=200, weeks=1, products=4, format=file_format)
    with _open(tmp_path / "csv") as csv, _open(tmp_path / "parquet", "parquet") as parquet:
        query = "select event_id, session_id, created_at, event_type, order_id, product_id from events order by all"
        assert csv.execute(query).fetchall() == parquet.execute(query).fetchall()


def test_another_seed_is_another_store(tmp_path: Path) -> None:
    for seed in (1, 2):
        sample.write(tmp_path / str(seed), END, sessions=100, weeks=1, products=3, seed=seed)
    assert _files(tmp_path / "1") != _files(tmp_path / "2")


@pytest.mark.parametrize("wrong", [{"sessions": 0}, {"weeks": 0}, {"products": 2}, {"format": "xlsx"}])
def test_refuses_what_makes_no_store(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"--{next(iter(wrong))} .* is not allowed"):
        sample.write(tmp_path / "s", END, **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


def test_the_store_lives(store: duckdb.DuckDBPyConnection) -> None:
    days = "select created_at::date as day, count(distinct session_id) as sessions from events group by 1"
    by_weekday = dict(store.execute(f"select isodow(day), avg(sessions) from ({days}) group by 1").fetchall())
    assert by_weekday[7] > 1.2 * by_weekday[2]
    [week_before, campaign, week_after] = (
        store.execute(
            "select count(distinct session_id) from events, (select min(created_at)::date as first from events)"
            f" where created_at::date - first between {first} and {first + 6}"
        ).fetchall()[0][0]
        for first in (35, 42, 49)
    )
    assert campaign > 1.3 * max(week_before, week_after)
    last, first = (f"created_at::date {bound}" for bound in (">= '2026-09-23'", "< '2026-08-15'"))
    sessions = "select count(distinct session_id) from events where"
    assert store.execute(f"select ({sessions} {last}) > 1.1 * ({sessions} {first})").fetchall() == [(True,)]


def test_one_product_is_a_hit_some_are_dead_and_names_are_in_no_order(store: duckdb.DuckDBPyConnection) -> None:
    names = "(select product_id, any_value(name) as name from products group by 1)"
    views = store.execute(
        f"select name, count(*) from events join {names} using (product_id) where event_type = 'page_view'"
        " group by 1 order by 2 desc"
    ).fetchall()
    assert views[0][1] > 1.5 * views[1][1]
    assert sum(number < 0.1 * views[len(views) // 2][1] for _name, number in views) == 3
    popular = [name for name, _number in views]
    assert popular[:10] != sorted(popular)[:10]


def test_a_store_of_another_version_is_left_as_it_is_and_named(tmp_path: Path) -> None:
    sample.write(tmp_path, END - dt.timedelta(days=7), sessions=100, weeks=1, products=3)
    manifest = tmp_path / sample.MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"version": {sample.VERSION}', '"version": 1'))
    before = _files(tmp_path)
    with pytest.raises(UsageError, match=rf"{tmp_path} holds a sample store of version 1, and this is version 2"):
        sample.write(tmp_path, END)
    assert _files(tmp_path) == before

"""A weekly page as programs read it, and published marts made by hand."""

import csv
import datetime as dt
import io
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import duckdb

from plant_assets.contracts import PUBLISHED, STAGES, TABLES
from plant_assets.readers.page.figures import Figures, read_figures
from plant_assets.settings import Settings
from plant_assets.transforms import rates, stages, weekly
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.marts import open_marts
from plant_assets.warehouse.store import create_table

# The weeks of the small store that runs and that is whole.
RUNNING, WHOLE = dt.date(2026, 10, 12), dt.date(2026, 10, 5)

NASTY_NAMES = [
    "</script><b>bold</b><script>alert(1)</script>",
    "\"double\" & 'single' <!-- banner -->",
    "נענע ירוקה",
    "=HYPERLINK(1)",
    "Very long " + "Plant " * 32,
]

# Text that a spreadsheet would run, whatever blank, unseen or wide characters it begins with.
FORMULAS = [
    "=1+1",
    "+1",
    "-5",
    "@SUM(A1)",
    "\ttab",
    "\nline",
    "  =1",
    "\n -1",
    "\u00a0=1",
    "\u3000+1",
    "\u200b\u200d=1",
    "\ufeff@x",
    "\u202e\u2066-1",
    "\x1b=1",
    "\uff1d1",
    "\uff0b1",
    " \uff0d1",
    "\uff20x",
]
# Text that it leaves as it is.
HARMLESS = ["Fern", "a=1", "1-2", "'=1", "\u2212 5", " Caf\u00e9", "\u05e0\u05e2\u05e0\u05e2=", "5", ","]


INVENTORY, WEEKS = TABLES["inventory"].unbound(), TABLES["weeks"].unbound()
VIEWS = {
    "inventory_until_week": weekly.inventory_until_week(INVENTORY, WEEKS),
    "stockouts_by_week": weekly.stockouts_by_week(TABLES["stockouts"].unbound(), WEEKS, [(None, dt.timedelta())]),
    "funnel_until_week": weekly.funnel_until_week(TABLES["int_funnel_weeks"].unbound(), WEEKS),
    "inventory_by_week": weekly.inventory_by_week(TABLES["inventory_changes"].unbound()),
    "purchase_rate_by_product_week": rates.purchase_rate_by_product_week(TABLES["funnel_by_product_week"].unbound()),
}


class _Tables(HTMLParser):
    """The tables of a page: by name, the heading and the cells, each with its value and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, tuple[list[str], list[list[tuple[str | None, str]]]]] = {}
        self._name, self._value, self._text = "", None, None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "figure" and given.get("class") == "table":
            self._name = str(given["id"]).removeprefix("table-")
            self.tables[self._name] = ([], [])
        elif tag == "th":
            self.tables[self._name][0].append(str(given["data-name"]))
        elif tag == "tr" and self._name:
            self.tables[self._name][1].append([])
        elif tag == "td":
            self._value, self._text = given.get("data-v"), ""

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self.tables[self._name][1][-1].append((self._value, self._text or ""))
            self._text = None


def tables_of(path: Path) -> dict[str, list[dict[str, str | None]]]:
    """The values of each table of a page, by the names that its download has."""
    parser = _Tables()
    parser.feed(path.read_text(encoding="utf-8"))
    return {
        name: [dict(zip(names, [value for value, _text in row], strict=True)) for row in rows if row]
        for name, (names, rows) in parser.tables.items()
    }


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@contextmanager
def marts_for_writing(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The published marts, to be changed; without any yet, empty ones."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{settings.marts_path}' as warehouse")
        connection.execute("create schema if not exists warehouse.analytics; use warehouse.analytics")
        for name in PUBLISHED:
            view = f"create view if not exists {name} as {to_sql(VIEWS[name])}" if name in VIEWS else None
            connection.execute(view or create_table(TABLES[name]))
        connection.execute("create table if not exists _meta (name varchar, value varchar)")
        yield connection


def write_large_marts(settings: Settings, last: dt.date, products: int, weeks: int) -> None:
    """Marts of a store with this many products and weeks, the last one running."""
    with marts_for_writing(settings) as marts:
        marts.execute(
            "create temp table w as select ?::date - 7 * range::integer as week_start_date from range(?)",
            [last, weeks],
        )
        marts.execute("create temp table p as select range as n, 'p' || range as product_id from range(?)", [products])
        marts.execute(
            "insert into weeks select week_start_date, week_start_date, week_start_date + 7 from w;"
            "insert into funnel_to_date by name select event_date, date_trunc('week', event_date)::date as"
            " week_start_date, 900 * day as page_view, 400 * day as add_to_cart, 200 * day as checkout,"
            " 150 * day as package_shipped, 100 as page_view_rate, 44 as add_to_cart_rate, 22 as purchase_rate,"
            " 17 as shipping_rate from (select week_start_date + day::integer - 1 as event_date, day"
            " from w, range(1, 8) as days(day));"
            "insert into funnel_by_date by name select event_date, 900 as page_view, 400 as add_to_cart,"
            " 200 as checkout, 150 as package_shipped, 100 as page_view_rate, 44 as add_to_cart_rate,"
            " 22 as purchase_rate, 17 as shipping_rate from funnel_to_date;"
            "insert into funnel_by_week by name select * exclude (event_date) from funnel_to_date"
            " where event_date = week_start_date + 6;"
            "insert into int_funnel_weeks by name select week_start_date, page_view, add_to_cart, checkout,"
            " package_shipped from funnel_by_week;"
            "insert into funnel_by_product_week by name select week_start_date, product_id,"
            " 'Plant ' || n as product_name, n % 300 as page_view, n % 100 as add_to_cart, n % 40 as checkout,"
            " 0 as package_shipped from w, p;"
            "insert into inventory by name select week_start_date, product_id, 'Plant ' || n as product_name,"
            " n % 50 as opening_inventory, n % 50 as closing_inventory, n % 50 as min_inventory,"
            " n % 50 as max_inventory, 0 as inflow, n % 3 as outflow, n % 3 as changes, 0 as hours_out_of_stock,"
            " true as is_complete from w, p;"
            "insert into inventory_changes by name select week_start_date, product_id, 'Plant ' || n as product_name,"
            " n % 50 as previous_inventory, n % 50 + n % 3 as inventory, n % 3 as change,"
            " case when n % 3 = 0 then 'same' else 'up' end as state from w, p;"
            "insert into stockouts by name select product_id, 'Plant ' || n as product_name,"
            " (select max(week_start_date) from w)::timestamp as out_of_stock_at, 24 as hours_out,"
            " false as is_ongoing, 0 as min_inventory from p where n % 10 = 0"
        )
        funnels = (marts.execute(f"from {name}").df() for name in ("funnel_by_week", "funnel_until_week"))
        marts.register("steps", weekly.funnel_steps_by_week(*funnels, STAGES))
        marts.execute("insert into funnel_steps_by_week by name from steps")
        today = last + dt.timedelta(days=2)
        given = (TABLES[name].unbound() for name in ("funnel_to_date", "funnel_until_week", "inventory", "weeks"))
        of_stages = to_sql(stages.funnel_stages_by_week(*given, STAGES, today))
        marts.execute(f"insert into funnel_stages_by_week by name {of_stages}")
        as_of = dt.datetime.combine(today, dt.time(6)).isoformat()
        marts.executemany(
            "insert into _meta values (?, ?)",
            [("as_of", as_of), ("events_until", as_of), ("observed_until", as_of)],
        )


def figures(settings: Settings, week: dt.date) -> Figures:
    """The figures of a week's page."""
    with open_marts(settings) as marts:
        return read_figures(marts, week)


def rename(settings: Settings) -> None:
    """Give the products of the marts names that are hard to write."""
    with marts_for_writing(settings) as marts:
        ids = [row[0] for row in marts.execute("select distinct product_id from inventory order by 1").fetchall()]
        for product_id, name in zip(ids, NASTY_NAMES, strict=False):
            for table in ("inventory", "inventory_changes", "funnel_by_product_week", "stockouts"):
                marts.execute(f"update {table} set product_name = ? where product_id = ?", [name, product_id])

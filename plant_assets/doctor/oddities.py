"""Oddities of a source, in one sentence each that says what to do. Nothing here reads."""

import datetime as dt
from itertools import pairwise

import duckdb

from plant_assets.contracts import STAGES
from plant_assets.doctor.found import MOST_SHOWN, Events, Found, counted, some_of
from plant_assets.settings import Settings
from plant_assets.sources.base import Source, SourceFile
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.tables import HISTORY, SOURCE_TABLES

# Two ticks, as in the checks.
FRESH_WITHIN = dt.timedelta(hours=12)
# Events before a gap of over a year are odd if they are this many, or a thousandth of all.
YEAR, MOST_BEFORE_GAP = dt.timedelta(days=366), 10


def oddities_of(
    settings: Settings,
    mapping: StoreMapping,
    found: dict[str, Found],
    events: Events,
    products: list[SourceFile],
    as_of: dt.datetime,
) -> list[str]:
    """Return the oddities of the tables that were read, one sentence each."""
    odd = []
    if mapping.has_order_items and not found["order_items"].files:
        odd.append(
            "there is no order_items: checkout and package_shipped count for the product that each event names, if any"
        )
    others = {name: count for name, count in events.types.items() if name not in STAGES}
    if others:
        named = some_of([f"{name} ({count})" for name, count in list(others.items())[:MOST_SHOWN]], len(others))
        odd.append(f"no stage, and in no funnel: {named}; event_types of PLANT_MAPPING makes stages of them")
    unseen = [stage for stage in mapping.stages if not events.types[stage]]
    if unseen:
        odd.append(
            f"no event is of the stage {' or '.join(unseen)}: its counts are 0; event_types of PLANT_MAPPING says"
            " which stages there are"
        )
    odd += _orders(mapping, found, events)
    if products and not products[0].observed_at and not found[HISTORY].instants:
        odd.append(f"{products[0].name} is not dated: stock has a history from the first run on, as fine as the runs")
    if events.last is None:
        odd.append("there is no event")
    elif events.last < as_of - FRESH_WITHIN:
        odd.append(f"the last event is of {events.last} UTC: raw_events_are_fresh warns from 12 hours on")
    if events.to_come:
        odd.append(f"{counted(events.to_come, 'event')} over a day ahead: refused until then")
    for name, table in found.items():
        if table.first_refusal:
            first = table.first_refusal.in_words()
            odd.append(f"{table.refused} of {counted(table.rows, 'row')} of {name} refused, first {first}")
    if before_gap := _before_gap(settings, events):
        odd.append(before_gap)
    if settings.start and events.first and events.first < settings.calendar.starts_at(settings.start):
        odd.append(f"there are events before PLANT_START={settings.start}: they are refused")
    return odd


def _orders(mapping: StoreMapping, found: dict[str, Found], events: Events) -> list[str]:
    """Return sentences on checkouts that are no order, and on statuses that no order has."""
    odd = []
    if events.without_order:
        rest = "" if found["orders"].rows or found["order_items"].rows else "; a click log alone has no sales"
        odd.append(f"sales leave out {counted(events.without_order, 'checkout')} without an order{rest}")
    unseen = [status for status in mapping.not_sold if status not in found["orders"].statuses]
    if unseen:
        odd.append(f"no order has the status {' or '.join(unseen)}, which not_sold of PLANT_MAPPING names")
    return odd


def _before_gap(settings: Settings, events: Events) -> str | None:
    """Return a sentence on the few events that lie over a year before all others; None if there are none."""
    weeks, before, found = sorted(events.weeks.items()), 0, None
    fewest = max(MOST_BEFORE_GAP, sum(number for number, _first, _last in events.weeks.values()) // 1000)
    for (_week, (number, _first, last)), (following, (_number, first, _last)) in pairwise(weeks):
        before += number
        if before <= fewest and first - last > YEAR:
            found = before, following
    if found is None or (settings.start and settings.start >= found[1]):
        return None
    are_left, start = "leaves it out" if found[0] == 1 else "leaves them out", found[1]
    return (
        f"{counted(found[0], 'event')} over a year before all others, the first of {events.first} UTC:"
        f" PLANT_START={start} {are_left}"
    )


def other_names(connection: duckdb.DuckDBPyConnection, source: Source) -> list[str]:
    """Return sentences on the tables and columns of a source whose names may differ from ours."""
    named = [f"{place} has the columns {', '.join(names)}" for place, names in source.columns_found(connection)]
    if not named:
        return []
    wanted = [f"{name} has the columns {', '.join(table.columns)}" for name, table in SOURCE_TABLES.items()]
    return [*named[:MOST_SHOWN], "a store with other names is read by PLANT_MAPPING, which makes of them: " + wanted[0]]

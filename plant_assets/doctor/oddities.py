"""Oddities of a source, in one sentence each that says what to do. Nothing here reads."""

import datetime as dt

import duckdb

from plant_assets.contracts import STAGES
from plant_assets.doctor.found import Events, Found
from plant_assets.settings import Settings
from plant_assets.sources.base import Source, SourceFile
from plant_assets.sources.mapping import StoreMapping
from plant_assets.sources.tables import HISTORY, LISTED_TABLES, SOURCE_TABLES
from plant_assets.text import MOST_SHOWN, counted, some_of

# Two ticks, as in the checks.
FRESH_WITHIN = dt.timedelta(hours=12)


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
    has_instants = found[HISTORY].instants or found["products"].instants
    if products and not products[0].observed_at and not has_instants:
        odd.append(f"{products[0].name} is not dated: stock has a history from the first run on, as fine as the runs")
    if events.last is None:
        odd.append("there is no event")
    elif events.last < as_of - FRESH_WITHIN:
        odd.append(f"the last event is of {events.last} UTC: raw_events_are_fresh warns from 12 hours on")
    if events.to_come:
        odd.append(f"{counted(events.to_come, 'event')} over a day ahead: refused until then")
    for name, table in found.items():
        if table.words:
            shown = [f"{word} ({count})" for word, count in table.words.most_common(MOST_SHOWN)]
            taken = f"{counted(table.words.total(), 'word')} of {name} taken for no value"
            odd.append(f"{taken}: {some_of(shown, len(table.words))}; nulls of PLANT_MAPPING says which words are")
        if table.first_refusal:
            first = table.first_refusal.in_words()
            odd.append(f"{table.refused} of {counted(table.rows, 'row')} of {name} refused, first {first}")
    if events.shared:
        odd.append(_shared_sessions(mapping, events))
    if settings.start and events.first and events.first < settings.calendar.starts_at(settings.start):
        odd.append(f"there are events before PLANT_START={settings.start}: they are refused")
    return odd


def _shared_sessions(mapping: StoreMapping, events: Events) -> str:
    theirs = mapping.columns_read("events", SOURCE_TABLES["events"].columns)
    columns = ", ".join(dict.fromkeys(theirs[name] for name in ("user_id", "session_id") if name in theirs))
    have = "has" if events.shared == 1 else "have"
    return (
        f"{events.shared} of {counted(events.sessions, 'session')} {have} events of more than one user: if users number"
        f" their own, give `columns: {{events: {{session_id: [{columns}]}}}}` in PLANT_MAPPING"
    )


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


def other_names(connection: duckdb.DuckDBPyConnection, source: Source) -> list[str]:
    """Return sentences on the tables and columns of a source whose names may differ from ours."""
    named = [f"{place} has the columns {', '.join(names)}" for place, names in source.columns_found(connection)]
    if not named:
        return []
    wanted = [f"{name} has the columns {', '.join(table.columns)}" for name, table in LISTED_TABLES.items()]
    return [*named[:MOST_SHOWN], "a store with other names is read by PLANT_MAPPING, which makes of them: " + wanted[0]]

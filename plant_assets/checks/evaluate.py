"""Evaluate checks: over the weeks of a run and those of open failures, or over everything.

A failed error check stays open in the ledger, for the weeks of its failing rows or for everything. It closes where it
passes again: in a run after a table that it reads was written, or in a look at everything. While it is open, it fails.
"""

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter

import dagster as dg

from plant_assets.calendar import WEEK, Weeks
from plant_assets.checks.base import Check, Scope
from plant_assets.contracts import TABLES, WEEKLY, Table
from plant_assets.warehouse.expressions import to_sql
from plant_assets.warehouse.fingerprints import fingerprint_of
from plant_assets.warehouse.ledger.checks import Failure
from plant_assets.warehouse.warehouse import Warehouse

MOST_KEYS = 10
# A scope that is the same in each run, of which the SQL of a check is its definition.
FIXED_START, FIXED_AS_OF = dt.date(2024, 1, 1), dt.datetime(2024, 4, 3, 6)


@dataclass(frozen=True)
class Found:
    """What a check found: the number of failing rows, the first of their keys, the rows that it looked at if counted.

    `misfits` are columns that are not the contract's, without which it could not look.
    """

    check: Check
    count: int
    keys: list[str]
    rows: int | None = None
    misfits: bool = False


def results(warehouse: Warehouse, checks: Iterable[Check], scope: Scope) -> Iterator[dg.AssetCheckResult]:
    """Evaluate checks over a scope and their open failures, open and close failures, and return each result."""
    failures, writes = warehouse.ledger.checks.failures(), warehouse.ledger.writes.numbers()
    for found in look(warehouse, checks, scope):
        known = failure = failures.get(found.check.name)
        if found.check.is_error and (found.count or known):
            found, failure = _settle(warehouse, found, known, scope)
        if scope.weeks is None and found.check.is_error:
            warehouse.ledger.checks.note_whole(found.check.name, scope.as_of, found.count == 0)
        is_open = _open_in_words(failure) if known and failure else ""
        yield _result(found, failure, scope, writes.get(found.check.asset, 0), is_open)


def look(warehouse: Warehouse, checks: Iterable[Check], scope: Scope) -> Iterator[Found]:
    """Evaluate checks over a scope: those of a table in one query, then the keys of those that fail."""
    for asset, of_asset in itertools.groupby(sorted(checks, key=attrgetter("asset", "name")), attrgetter("asset")):
        yield from _look_at(warehouse, TABLES[asset], list(of_asset), scope)


def _look_at(warehouse: Warehouse, table: Table, checks: list[Check], scope: Scope) -> Iterator[Found]:
    misfits = wrong_columns(table, warehouse.catalog.column_types(table.name))
    if misfits:
        # No other check can run without the contract's columns.
        for check in checks:
            yield Found(check, len(misfits), misfits, misfits=True)
        return
    offending = [check.offending(scope) for check in checks]
    # To count the rows of a view is to make them.
    looked_at = [] if table.is_view else [scope.table(table.name)]
    counts = warehouse.engine.counts([*offending, *looked_at])
    rows = counts.pop() if looked_at else None
    for check, offences, count in zip(checks, offending, counts, strict=True):
        said = check.evidence(scope) if count and check.evidence else offences
        yield Found(check, count, warehouse.engine.sample_keys(said, MOST_KEYS) if count else [], rows)


def wrong_columns(table: Table, stored: Mapping[str, str]) -> list[str]:
    """Return the columns that are missing or stored under another type, a phrase each."""
    return [
        f"{column.name}: {stored.get(column.name, 'missing')}, not {column.sql_type}"
        for column in table.columns
        if stored.get(column.name) not in column.stored_types
    ]


def _settle(warehouse: Warehouse, found: Found, failure: Failure | None, scope: Scope) -> tuple[Found, Failure | None]:
    """Look where a failure is open too, then open and close; return all that was found, and what is open then."""
    check, ledger, writes = found.check, warehouse.ledger.checks, warehouse.ledger.writes.numbers()
    elsewhere = [] if found.misfits or not failure else _scopes_of(failure, scope)
    others = [each for other in elsewhere for each in look(warehouse, [check], other)]
    number = max(writes.get(name, 0) for name in (check.asset, *check.reads))
    definition = _definition(check, scope)
    failing = _failing_weeks(warehouse, found, scope)
    for other, each in zip(elsewhere, others, strict=True):
        more = _failing_weeks(warehouse, each, other)
        failing = None if failing is None or more is None else failing | more
    may_close = failure and (scope.weeks is None or number > failure.write_number or definition != failure.definition)
    with warehouse.transaction():
        if failure and may_close:
            ledger.close(check.name)
        if failing is None or failing:
            is_blocking = check.is_error and check.is_blocking
            since = failure.since if failure else scope.as_of
            ledger.open(check.asset, check.name, failing, since, number, definition, is_blocking)
    # A look at everything has what the look before it found.
    parts = others if others and failure and failure.is_whole else [found, *others]
    count = sum(each.count for each in parts)
    keys = list(dict.fromkeys(key for each in parts for key in each.keys))
    return replace(found, count=count, keys=keys[:MOST_KEYS]), ledger.failures().get(check.name)


def _scopes_of(failure: Failure, scope: Scope) -> list[Scope]:
    """Return the scopes of an open failure that a scope does not have, weeks that adjoin as one."""
    if scope.weeks is None:
        return []
    if failure.is_whole:
        return [replace(scope, weeks=None)]
    weeks = sorted(failure.weeks - set(scope.weeks.weeks()))
    ranges: list[Weeks] = []
    for week in weeks:
        is_next = bool(ranges) and week - ranges[-1].last == WEEK
        first = ranges.pop().first if is_next else week
        ranges.append(Weeks(scope.settings.calendar, first, week))
    return [replace(scope, weeks=each) for each in ranges]


def _failing_weeks(warehouse: Warehouse, found: Found, scope: Scope) -> frozenset[dt.date] | None:
    """Return the weeks of the rows that a check found; None if that cannot be told."""
    if not found.count:
        return frozenset()
    weeks = scope.weeks or _all_weeks(warehouse)
    if found.misfits or weeks is None or not _is_by_week(found.check, scope, weeks):
        return None
    return _bisect(warehouse, found.check, scope, weeks) or None


def _all_weeks(warehouse: Warehouse) -> Weeks | None:
    written = warehouse.ledger.writes.weeks(WEEKLY)
    return Weeks(warehouse.calendar, written[0], written[-1]) if written else None


def _is_by_week(check: Check, scope: Scope, weeks: Weeks) -> bool:
    """Tell whether a check looks at other rows in other weeks."""
    before = Weeks(weeks.calendar, weeks.first - WEEK, weeks.first - WEEK)
    one, other = (check.offending(replace(scope, weeks=each)) for each in (before, weeks))
    return not one.equals(other)


def _bisect(warehouse: Warehouse, check: Check, scope: Scope, weeks: Weeks) -> frozenset[dt.date]:
    """Return the weeks in which a check fails, by looking at halves."""
    [count] = warehouse.engine.counts([check.offending(replace(scope, weeks=weeks))])
    if not count:
        return frozenset()
    mondays = weeks.weeks()
    if len(mondays) == 1:
        return frozenset(mondays)
    middle = mondays[len(mondays) // 2]
    halves = (weeks.first, middle - WEEK), (middle, weeks.last)
    return frozenset().union(*(_bisect(warehouse, check, scope, Weeks(weeks.calendar, *half)) for half in halves))


def _definition(check: Check, scope: Scope) -> str:
    settings = scope.settings.model_copy(update={"start": FIXED_START})
    return fingerprint_of(to_sql(check.offending(Scope(settings, FIXED_AS_OF, None))))


def _result(found: Found, failure: Failure | None, scope: Scope, write: int, is_open: str) -> dg.AssetCheckResult:
    check, said = found.check, [*found.keys[:MOST_KEYS], *([is_open] if is_open else [])]
    looked_at = {"looked_at": str(scope.weeks) if scope.weeks else "everything"}
    rows = {} if found.rows is None else {"rows": found.rows}
    return dg.AssetCheckResult(
        passed=found.count == 0 and failure is None,
        asset_key=check.asset,
        check_name=check.name,
        severity=check.severity,
        description="; ".join(said) or None,
        metadata={
            "offending": found.count,
            "keys": found.keys[:MOST_KEYS],
            **looked_at,
            **rows,
            "write": write,
        },
    )


def _open_in_words(failure: Failure) -> str:
    """Return since when and for which weeks a failure is open, and what to do."""
    if failure.is_whole:
        return f"open since {failure.since}: mend it with `plant-assets run --weeks all`"
    first, last = min(failure.weeks), max(failure.weeks)
    return f"open since {failure.since}: make {first}..{last} again with `plant-assets run --weeks {first}..{last}`"

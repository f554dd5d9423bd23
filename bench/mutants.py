"""Transforms that were changed in one place, and what becomes of a warehouse that they meet.

Each changes a constant, a comparison, a join, a filter or a bound, incremental branches too. The tests try the first of
each module, `bench.soak --only mutants` all of them.
"""

import shutil
from pathlib import Path

from bench.soak_stores import END
from plant_assets.settings import Settings
from plant_assets_tests.support.changed_code import command, copy_package
from plant_assets_tests.support.tables import contents

# The module in transforms/, what it says once, and what it says then.
MUTANTS: tuple[tuple[str, str, str], ...] = (
    ("inventory", 'seconds.cast("float64") / 3600.0', 'seconds.cast("float64") / 1800.0'),
    ("inventory", "return deltas.filter(_.delta != 0)", "return deltas.filter(_.delta > 0)"),
    ("inventory", "ibis.greatest(-_.delta, 0)", "ibis.greatest(-_.delta, 1)"),
    ("inventory", "filter(_.starts_at <= _.last_observed_at)", "filter(_.starts_at < _.last_observed_at)"),
    ("inventory", "across.last_week >= weeks.week_number]", "across.last_week > weeks.week_number]"),
    ("inventory", "(touching.valid_to > touching.starts_at)", "(touching.valid_to >= touching.starts_at)"),
    ("inventory", "touching.valid_from < touching.starts_at", "touching.valid_from <= touching.starts_at"),
    ("inventory", "seconds_out=(touching.inventory <= 0)", "seconds_out=(touching.inventory < 0)"),
    ("inventory", "max_inventory=_.held.max()", "max_inventory=_.held.min()"),
    ("inventory", "touching.last_observed_at >= touching.ends_at", "touching.last_observed_at > touching.ends_at"),
    ("inventory", "((previous > 0) & (now <= 0), ", "((previous > 0) & (now < 0), "),
    ("inventory", "_.first_seen_at >= _.starts_at", "_.first_seen_at > _.starts_at"),
    ("inventory", "((_.delta > 0) != (_.before > 0))", "((_.delta > 0) == (_.before > 0))"),
    ("inventory", 'order_by=ibis.desc("volume")) + 1', 'order_by=ibis.desc("volume")) + 2'),
    ("inventory", "filter(_.is_out)", "filter(_.is_start)"),
    ("snapshots", "beside.number - 1", "beside.number - 2"),
    ("snapshots", "starts = beside.filter(~goes_on)", "starts = beside"),
    ("snapshots", "closes_number=numbered.number - 1", "closes_number=numbered.number - 2"),
    # Incremental.
    ("snapshots", "(_.valid_from <= start) &", "(_.valid_from < start) &"),
    ("snapshots", "before.filter(_.valid_to <= start)", "before.filter(_.valid_to < start)"),
    ("snapshots", "ibis.coalesce(beside.changed_after, beside.held_at)", "beside.changed_after"),
    ("events", "start=1)]", "start=2)]"),
    ("events", "filter(~is_of_order)", "filter(is_of_order)"),
    ("events", "_.item_id.coalesce(_.product_id)", "_.item_id"),
    ("events", "(dated.event_type == stage).any()", "(dated.event_type == stage).all()"),
    ("events", "_.valid_from.max())", "_.valid_from.min())"),
    ("funnel", "return ((200 * part + whole)", "return ((200 * part)"),
    ("funnel", "(2 * whole).nullif(0)", "(3 * whole).nullif(0)"),
    # Incremental.
    ("funnel", "return _first_reached(recent, again,", "return _first_reached(recent, None,"),
    ("funnel", "before.semi_join(recent.select", "before.anti_join(recent.select"),
    ("funnel", "repeats.filter(_.week_start_date >= since)", "repeats.filter(_.week_start_date > since)"),
    ("funnel", "funnel(session_days.filter(_.event_date >= since)", "funnel(session_days.filter(_.event_date > since)"),
    ("funnel", "is_new = {stage: ~both", "is_new = {stage: both"),
    ("funnel", "% portions).abs() == portion", "% portions).abs() >= portion"),
    ("funnel", "filter(_.session_step.notnull())", "filter(_.session_step > 1)"),
    ("funnel", "product_number.fill_null(0)", "product_number.fill_null(1)"),
    ("funnel", "monday(_.first) != monday(_.last)", "_.first != _.last"),
    ("funnel", 'firsts[f"first_{stage}"])) for', 'firsts[f"first_{stage}"]) | True) for'),
    ("funnel", "last = funnel_to_date.group_by(\"week_start_date\").aggregate(event_date=_.event_date.max())",
     "last = funnel_to_date.group_by(\"week_start_date\").aggregate(event_date=_.event_date.min())"),
    ("funnel", "named.product_id != UNKNOWN_PRODUCT", "named.product_id == UNKNOWN_PRODUCT"),
    ("steps", 'steps["sessions_from"] - steps["sessions_to"]', 'steps["sessions_to"] - steps["sessions_from"]'),
    ("steps", '["lost"].idxmax()', '["lost"].idxmin()'),
    ("steps", 'whole.where(whole != 0)', 'whole.where(whole > 1)'),
    ("weekly", "OUT_WEEKS, STOCKOUT_WEEKS = 3, 8", "OUT_WEEKS, STOCKOUT_WEEKS = 2, 8"),
    ("weekly", "(held.closing_inventory <= 0)", "(held.closing_inventory < 0)"),
    ("weekly", "funnel_weeks.week_start_date <= ends.until", "funnel_weeks.week_start_date < ends.until"),
    ("weekly", "stockouts.out_of_stock_at < weeks.ends_at", "stockouts.out_of_stock_at > weeks.ends_at"),
)  # fmt: skip
FIRST_OF_EACH = tuple({mutant[0]: mutant for mutant in reversed(MUTANTS)}.values())


def change_of(mutant: tuple[str, str, str]) -> tuple[str, str, str]:
    """The change of the package that makes a mutant."""
    module, old, new = mutant
    return f"transforms/{module}.py", old, new


def meet(base: Settings, mutant: tuple[str, str, str], folder: Path) -> str:
    """Run a mutant on a copy of a warehouse; return "found" if a check failed, "made again" if all tables are its own.

    Raises:
        AssertionError: it passed, and left a table as it was that it makes otherwise.
    """
    code = copy_package(folder / "code", change_of(mutant))
    shutil.copytree(base.warehouse_path.parent, folder / "kept")
    kept, fresh = (base.model_copy(update={"warehouse": folder / name / "w.duckdb"}) for name in ("kept", "fresh"))
    done = command(code, "run", *_options(kept))
    if done.returncode:
        assert "check failed" in done.stderr, done.stderr
        return "found"
    assert not command(code, "run", *_options(fresh)).returncode
    assert contents(kept) == contents(fresh), mutant
    return "made again"


def _options(settings: Settings) -> list[str]:
    where = ["--source", str(settings.source), "--warehouse", str(settings.warehouse_path)]
    return [*where, "--as-of", END.isoformat()]

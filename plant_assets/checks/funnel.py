"""Facts of the funnels."""

from itertools import pairwise

import ibis
from ibis import _

from plant_assets.checks.base import Check, Scope, keys
from plant_assets.contracts import STAGES

# One of how many sessions may skip a stage.
MOST_SKIPPED = 100
# By how much fractions may miss what they would be without rounding.
HAIR = 1e-9


def _growing_stages(scope: Scope) -> ibis.Table:
    whole = scope.whole("funnel")
    return ibis.union(
        *(
            keys(
                whole.filter(whole[after] > whole[before]),
                ibis.literal(after),
                after,
                ibis.literal(before),
                before,
            )
            for before, after in pairwise(STAGES)
        )
    )


def _above_whole(scope: Scope) -> ibis.Table:
    whole = scope.whole("funnel").select(**{f"whole_{stage}": _[stage] for stage in STAGES})
    dates = scope.whole("funnel_by_date").cross_join(whole)
    is_above = ibis.or_(*(dates[stage] > dates[f"whole_{stage}"] for stage in STAGES))
    return keys(dates.filter(is_above), "event_date")


def _sessions_not_counted_once(scope: Scope) -> ibis.Table:
    """Return the stages whose sessions are not each counted once, in their first week with the stage."""
    days, counts = scope.whole("int_session_days"), scope.whole("int_funnel_weeks")
    if scope.weeks:
        counts = counts.filter(_.week_start_date.between(scope.weeks.first, scope.weeks.last))
        days, earlier = scope.table("int_session_days"), days.filter(_.event_date < scope.weeks.first)
        again = earlier.semi_join(days.select("session_id").distinct(), "session_id")
        had = again.group_by("session_id").aggregate(**{f"had_{stage}": _[stage].any() for stage in STAGES})
        both = days.left_join(had, "session_id", rname="earlier_{name}")
        days = both.mutate(**{stage: both[stage] & ~both[f"had_{stage}"].fill_null(False) for stage in STAGES})
    sessions = days.aggregate(**{f"had_{stage}": days.session_id.nunique(where=days[stage]) for stage in STAGES})
    sums = counts.aggregate(**{stage: counts[stage].sum().coalesce(0) for stage in STAGES}).cross_join(sessions)
    return ibis.union(
        *(
            keys(
                sums.filter(sums[stage] != sums[f"had_{stage}"]),
                ibis.literal(stage),
                stage,
                ibis.literal("counted, of"),
                f"had_{stage}",
            )
            for stage in STAGES
        )
    )


def _weeks_off_whole(weeks: ibis.Table, whole: ibis.Table, by: tuple[str, ...]) -> ibis.Table:
    """Return the stages of the whole funnel that exceed the sum of the weeks, or that one week exceeds."""
    sums = {f"sum_{stage}": _[stage].sum() for stage in STAGES}
    most = {f"most_{stage}": _[stage].max() for stage in STAGES}
    found = weeks.group_by(*by).aggregate(**sums, **most) if by else weeks.aggregate(**sums, **most)
    both = whole.left_join(found, by) if by else whole.cross_join(found)

    def is_off(stage: str) -> ibis.Value:
        return (both[f"sum_{stage}"].coalesce(0) < both[stage]) | (both[f"most_{stage}"] > both[stage])

    parts = [keys(both.filter(is_off(stage)), *by, ibis.literal(stage)) for stage in STAGES]
    return ibis.union(*parts)


def _weeks_off(scope: Scope) -> ibis.Table:
    return _weeks_off_whole(scope.whole("funnel_by_week"), scope.whole("funnel"), ())


def _product_weeks_off(scope: Scope) -> ibis.Table:
    whole = scope.whole("funnel_by_product")
    return _weeks_off_whole(scope.whole("funnel_by_product_week"), whole, ("product_id",))


def _neither_reached_nor_skipped(scope: Scope) -> ibis.Table:
    dates = scope.whole("funnel_by_entry_date")
    parts = [
        keys(
            dates.filter(dates[f"any_{stage}"] != dates[stage] + dates[f"skipped_{stage}"]),
            "entry_date",
            ibis.literal(stage),
        )
        for stage in STAGES[1:3]
    ]
    return ibis.union(*parts)


def _above_their_views(scope: Scope) -> ibis.Table:
    dates = scope.whole("funnel_by_entry_date")
    parts = [
        keys(dates.filter(dates[stage] > dates.page_view), "entry_date", ibis.literal(stage)) for stage in STAGES[1:]
    ]
    return ibis.union(*parts)


def _dates_off(scope: Scope) -> ibis.Table:
    whole, dates = scope.whole("funnel"), scope.whole("funnel_by_entry_date")
    sums = dates.aggregate(**{f"any_{stage}": _[f"any_{stage}"].sum().coalesce(0) for stage in STAGES[1:]})
    both = whole.cross_join(sums)
    parts = [keys(both.filter(both[stage] != both[f"any_{stage}"]), ibis.literal(stage)) for stage in STAGES[1:]]
    return ibis.union(*parts)


def _skipping(scope: Scope) -> ibis.Table:
    mature = scope.whole("funnel_by_entry_date").filter(_.is_mature)
    found = {f"{kind}_{stage}": mature[f"{kind}_{stage}"].sum() for kind in ("any", "skipped") for stage in STAGES[1:]}
    sums = mature.aggregate(**found)
    parts = [
        keys(
            sums.filter(sums[f"skipped_{stage}"] * MOST_SKIPPED > sums[f"any_{stage}"]),
            ibis.literal(stage),
            f"skipped_{stage}",
            ibis.literal("of"),
            f"any_{stage}",
        )
        for stage in STAGES[1:]
    ]
    return ibis.union(*parts)


def _outside_intervals(scope: Scope) -> ibis.Table:
    """Return the stages whose rate or change of it is not within its interval, or whose counts do not add up."""
    stages = scope.table("funnel_stages_by_week")
    is_wrong = [
        _is_outside(stages.overall_rate, stages.overall_low, stages.overall_high),
        _is_outside(stages.overall_change, stages.overall_change_low, stages.overall_change_high),
        stages.sessions - stages.sessions_before != stages.change,
    ]
    wrong = stages.filter(ibis.or_(*(each.fill_null(False) for each in is_wrong)))
    return keys(wrong, "week_start_date", "period", "stage")


def _is_outside(rate: ibis.Value, low: ibis.Value, high: ibis.Value) -> ibis.Value:
    return (rate < low - HAIR) | (rate > high + HAIR)


CHECKS: tuple[Check, ...] = (
    Check(
        "int_funnel_weeks",
        "count_each_session_once",
        "In each stage the weeks add up to the distinct sessions of int_session_days.",
        _sessions_not_counted_once,
        reads=("int_session_days",),
    ),
    Check(
        "funnel",
        "stages_do_not_grow",
        "Over the whole store no stage has more sessions than the one before.",
        _growing_stages,
        is_error=False,
        is_blocking=False,
    ),
    Check(
        "funnel_by_date",
        "is_at_most_the_whole",
        "No date has more sessions in a stage than the whole store.",
        _above_whole,
        reads=("funnel",),
    ),
    Check(
        "funnel_by_entry_date",
        "any_is_reached_or_skipped",
        "On each date, sessions with a cart or a checkout have reached it in turn, or skipped a stage before.",
        _neither_reached_nor_skipped,
    ),
    Check(
        "funnel_by_entry_date",
        "has_no_rate_above_100",
        "On no date have more sessions reached a stage in turn than have viewed a page.",
        _above_their_views,
    ),
    Check(
        "funnel_by_entry_date",
        "adds_up_to_the_whole",
        "Over all dates, sessions with any event of a stage are those of the whole store.",
        _dates_off,
        reads=("funnel",),
    ),
    Check(
        "funnel_by_entry_date",
        "skips_few_sessions",
        "Over the mature dates, at most 1 % of the sessions with a stage have skipped a stage before it.",
        _skipping,
        is_error=False,
        is_blocking=False,
    ),
    Check(
        "funnel_by_week",
        "covers_the_whole",
        "In each stage the weeks add up to the whole store's sessions or more, and no week has more than it.",
        _weeks_off,
        reads=("funnel",),
    ),
    Check(
        "funnel_by_product_week",
        "covers_the_whole",
        "In each stage a product's weeks add up to its sessions or more, and no week has more than that.",
        _product_weeks_off,
        reads=("funnel_by_product",),
    ),
    Check(
        "funnel_stages_by_week",
        "has_rates_in_their_intervals",
        "Each rate and each change of one lies in its interval, and sessions less those before are their change.",
        _outside_intervals,
    ),
)

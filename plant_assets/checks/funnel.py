"""Facts of the funnels."""

from itertools import pairwise

import ibis
from ibis import _

from plant_assets.checks.facts import Check, Scope, keys
from plant_assets.contracts import STAGES


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


CHECKS: tuple[Check, ...] = (
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
    ),
)

"""Contracts of the funnels: of everything, and by date, week and product."""

from plant_assets.contracts.shared import (
    FEWEST_VIEWS,
    RATES,
    STAGES,
    THE_WEEK,
    UNKNOWN_PRODUCT,
    UNTIL_WEEK,
    WEEK,
    WHOLE_DAYS,
)
from plant_assets.contracts.types import COUNT, DATE, FLAG, FRACTION, PERCENT, TEXT, Partition, Table, may, must

_FUNNEL = (
    must("page_view", COUNT, "Distinct sessions with a page_view event"),
    must("add_to_cart", COUNT, "Distinct sessions with an add_to_cart event"),
    must("checkout", COUNT, "Distinct sessions with a checkout event"),
    must("package_shipped", COUNT, "Distinct sessions with a package_shipped event"),
    may("page_view_rate", PERCENT, "page_view over page_view, whole percent; NULL without page views"),
    may("add_to_cart_rate", PERCENT, "add_to_cart over page_view, whole percent, halves away from zero"),
    may("purchase_rate", PERCENT, "checkout over page_view, whole percent, halves away from zero"),
    may("shipping_rate", PERCENT, "package_shipped over page_view, whole percent, halves away from zero"),
)
_STEP = (
    must("from_stage", TEXT, "Stage that the step begins at"),
    must("to_stage", TEXT, "Stage that it leads to"),
    must("sessions_from", COUNT, "Sessions in from_stage"),
    must("sessions_to", COUNT, "Sessions in to_stage"),
    must("lost", COUNT, "sessions_from less sessions_to"),
    may("step_rate", FRACTION, "sessions_to over sessions_from; NULL on zero"),
    may("overall_rate", FRACTION, "sessions_to over page_view; NULL on zero"),
    may("points_lost", COUNT, "Difference of the stages' whole-percent rates"),
    must("is_largest_by_count", FLAG, "Loses the most sessions; a tie marks the earlier step"),
    must("is_largest_by_rate", FLAG, "Has the smallest step_rate; a tie marks the earlier step"),
)
_STAGE = (
    WEEK,
    must(
        "period",
        TEXT,
        f"{THE_WEEK}: sessions of the week, against the last week before with an event or an inventory, up to the same"
        f" weekday if the week is not complete; {WHOLE_DAYS}: of its days that are over, against the same days of the"
        f" week before; {UNTIL_WEEK}: of all weeks up to its end, against those up to that last week",
    ),
    must("stage", TEXT, "Stage of the funnel"),
    may("from_stage", TEXT, "The store's stage before it; NULL: it has none, or not this stage"),
    must("until_date", DATE, "Last date counted"),
    may("before_until_date", DATE, "Last date counted of the week before; NULL: nothing is compared"),
    must("sessions", COUNT, "Distinct sessions with an event of the stage"),
    may("lost", COUNT, "Sessions of from_stage less sessions"),
    may("lost_rate", FRACTION, "lost over sessions of from_stage; NULL on zero"),
    may("step_rate", FRACTION, "sessions over sessions of from_stage; NULL on zero"),
    may("overall_rate", FRACTION, "sessions over those of page_view; NULL on zero"),
    may("overall_low", FRACTION, "Lower bound of overall_rate's 95 % interval (Wilson 1927); NULL above 1"),
    may("overall_high", FRACTION, "Upper bound of this interval"),
    may("sessions_before", COUNT, "As sessions, of the week before"),
    may("change", COUNT, "sessions less sessions_before"),
    may("change_rate", FRACTION, "change over sessions_before; NULL on zero"),
    may("overall_change", FRACTION, "overall_rate less that of the week before"),
    may("overall_change_low", FRACTION, "Lower bound of overall_change's 95 % interval (Newcombe 1998, method 10)"),
    may("overall_change_high", FRACTION, "Upper bound of this interval"),
    may("points_change", COUNT, "Difference of the two overall rates as whole percents"),
)
_PURCHASES = (
    WEEK,
    must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
    must("product_name", TEXT, f"Last known name of the product, in every week, or {UNKNOWN_PRODUCT}"),
    must("page_view", COUNT, "Distinct sessions with a page_view event"),
    must("checkout", COUNT, "Distinct sessions with a checkout event"),
    may("rate", FRACTION, "checkout over page_view; NULL on zero"),
    may("rate_low", FRACTION, "Lower bound of rate's 95 % interval (Wilson 1927); NULL above 1"),
    may("rate_high", FRACTION, "Upper bound of this interval"),
    may("store_rate", FRACTION, "checkout over page_view of all products of the week together; NULL on zero"),
    must("is_ranked", FLAG, f"Has at least {FEWEST_VIEWS} views: the rate of fewer is mostly chance"),
    may(
        "against_store",
        TEXT,
        "above or below where the interval leaves out store_rate, else cannot tell; NULL: unranked",
    ),
)
_LATER = STAGES[1:]
_ENTRY = (
    may("entry_date", DATE, "Date of the sessions' first page_view, in the store's time zone; NULL: they have none"),
    *(must(stage, COUNT, f"Sessions that reached {stage} in turn: closed counts") for stage in STAGES),
    *(may(rate, PERCENT, f"{stage} over page_view, whole percent") for stage, rate in zip(STAGES, RATES, strict=True)),
    *(must(f"any_{stage}", COUNT, f"Sessions with any {stage} event of their own") for stage in _LATER),
    must("late_package_shipped", COUNT, "Sessions whose orders were shipped after the limit only"),
    *(
        must(f"skipped_{stage}", COUNT, f"Sessions with a {stage} event that did not reach it in turn")
        for stage in _LATER
    ),
    may("is_mature", FLAG, "The limit has passed since the end of the date; NULL without a date"),
    *(
        may(
            f"{name}_hours_to_{stage}", FRACTION, f"{what} of hours to {stage} from the stage before; NULL until mature"
        )
        for name, what in (("median", "Median"), ("p90", "90 % quantile"))
        for stage in _LATER
    ),
    may("last_event_date", DATE, "Date of the last event of these sessions and their orders"),
    must("ship_limit_days", COUNT, "Days after the checkout within which a shipment counts"),
)

TABLES = (
    Table("funnel", (), _FUNNEL, exact_rows=1),
    Table(
        "funnel_by_date",
        ("event_date",),
        (must("event_date", DATE, "Date in the store's time zone"), *_FUNNEL),
    ),
    Table("funnel_by_entry_date", ("entry_date",), _ENTRY),
    Table(
        "funnel_by_product",
        ("product_id",),
        (
            must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
            must("product_name", TEXT, f"Last known name of the product, or {UNKNOWN_PRODUCT}"),
            *_FUNNEL,
        ),
    ),
    Table(
        "funnel_to_date",
        ("event_date",),
        (must("event_date", DATE, "Date in the store's time zone: the last of those counted"), WEEK, *_FUNNEL),
    ),
    Table("funnel_by_week", ("week_start_date",), (WEEK, *_FUNNEL)),
    Table(
        "funnel_by_product_week",
        ("week_start_date", "product_id"),
        (
            WEEK,
            must("product_id", TEXT, f"Product, or {UNKNOWN_PRODUCT}"),
            must("product_name", TEXT, f"Last known name of the product, in every week, or {UNKNOWN_PRODUCT}"),
            *_FUNNEL,
        ),
    ),
    Table(
        "funnel_steps",
        ("from_stage",),
        _STEP,
    ),
    Table(
        "funnel_until_week",
        ("week_start_date",),
        (WEEK, *_FUNNEL),
        partition=Partition("week_start_date", is_written=False),
        kind="view",
    ),
    Table(
        "funnel_steps_by_week",
        ("week_start_date", "period", "from_stage", "to_stage"),
        (
            WEEK,
            must("period", TEXT, f"{THE_WEEK}: sessions of the week; {UNTIL_WEEK}: of all weeks up to its end"),
            *_STEP,
            must("is_in_store", FLAG, "The store has both stages; steps of others are never the largest"),
        ),
        partition=Partition("week_start_date", is_written=False),
    ),
    Table(
        "funnel_stages_by_week",
        ("week_start_date", "period", "stage"),
        _STAGE,
        partition=Partition("week_start_date", is_written=False),
    ),
    Table(
        "purchase_rate_by_product_week",
        ("week_start_date", "product_id"),
        _PURCHASES,
        partition=Partition("week_start_date", is_written=False),
        kind="view",
    ),
)

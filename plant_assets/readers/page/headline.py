"""The page's first sentences and big numbers: what a week was, against the one before."""

from plant_assets.calendar import Calendar
from plant_assets.readers.page.cells import (
    STAGE_WORDS,
    WEEKDAYS,
    Big,
    between,
    count_change,
    in_words,
    rate_change,
    share,
    signless,
)
from plant_assets.readers.page.figures import Comparison, Figures
from plant_assets.readers.page.intervals import wilson


def compared_days(figures: Figures) -> str:
    """Which days are compared, in words."""
    if figures.comparison is None:
        if figures.is_running:
            return "no whole day of it is over, so nothing is compared yet"
        return "the store's first week: there is none before to compare with"
    if not figures.is_running:
        return "changes are against the week before"
    days = whole_days(figures.comparison)
    return f"changes compare its whole days, {days}, with the same days of the week before"


def whole_days(comparison: Comparison) -> str:
    """The weekdays that are over."""
    last = WEEKDAYS[comparison.until.weekday()]
    return "Monday" if last == "Monday" else f"Monday to {last}"


def headline(figures: Figures, calendar: Calendar) -> str:
    """The week in a sentence or two, in plain words."""
    viewed, bought = figures.funnel["page_view"], figures.funnel["checkout"]
    so_far = " so far" if figures.is_running else ""
    if not figures.has_events:
        first = f"No session was recorded in this week{so_far}"
        if figures.events_until and figures.events_until < figures.starts_at:
            first += f": the events end on {calendar.date_of(figures.events_until)}"
    else:
        first = f"{signless(viewed)} {'session' if viewed == 1 else 'sessions'} viewed a page{so_far}"
        first += _against(figures)
        if viewed and "checkout" in figures.stages:
            first += f"; {share(bought, viewed).text} of that number checked out"
        has_lost = figures.steps["is_largest_by_count"] & (figures.steps["lost"] > 0)
        for largest in figures.steps[has_lost].to_dict("records"):
            step = f"{in_words(largest['from_stage'])} and {in_words(largest['to_stage'])}"
            first += f", and most were lost between {step} ({signless(int(largest['lost']))})"
    moved = int((figures.changes["change"].fillna(0) != 0).sum())
    if not figures.is_stock_observed:
        return f"{first}. No stock was observed in it."
    stock = f"The stock of {_products(moved)} changed" if moved else "No product's stock changed"
    out = f"{_products(figures.out_at_end)} {'is' if figures.out_at_end == 1 else 'are'}"
    when = "now" if figures.is_running else "at its end" if figures.is_stock_complete else "as last observed"
    return f"{first}. {stock}, and {out if figures.out_at_end else 'none is'} out of stock {when}."


def _products(number: int) -> str:
    return f"{number:,} product" if number == 1 else f"{number:,} products"


def _against(figures: Figures) -> str:
    comparison = figures.comparison
    if comparison is None:
        return ""
    now, before = comparison.now["page_view"], comparison.before["page_view"]
    of_days = f": on {whole_days(comparison)}" if figures.is_running else ","
    than = "on these days of the week before" if figures.is_running else "the week before"
    if not before:
        return f"{of_days} {signless(now)}, after none {than}" if figures.is_running else ", after a week without any"
    points = round(100 * (now - before) / before)
    if not points:
        return f"{of_days} about as many as {than}"
    return f"{of_days} {abs(points):,} % {'more' if points > 0 else 'fewer'} than {than}"


def big_numbers(figures: Figures) -> list[Big]:
    """The week's counts and rates with their changes."""
    against, found = figures.comparison, []
    for stage in figures.stages:
        change = count_change(against.now[stage], against.before[stage]) if against else ""
        if against and figures.is_running:
            change += f": {signless(against.now[stage])} against {signless(against.before[stage])}"
        found.append(Big(f"{STAGE_WORDS[stage]}, sessions", signless(figures.funnel[stage]), change))
    if "checkout" in figures.stages:
        part, whole = figures.funnel["checkout"], figures.funnel["page_view"]
        change = ""
        if against:
            change = rate_change(*((week["checkout"], week["page_view"]) for week in (against.now, against.before)))
        interval = wilson(part, whole)
        found.append(Big("Purchase rate", share(part, whole).text, change, between(interval) if interval else ""))
    if not figures.is_stock_observed:
        return [*found, Big("Products out of stock", "not observed", "")]
    before = figures.out_before
    change = "" if before is None else count_change(figures.out_at_end, before)
    found.append(Big("Products out of stock", signless(figures.out_at_end), change))
    return found

"""The page's first sentences and big numbers: what a week was, against the one before."""

from plant_assets.calendar import Calendar
from plant_assets.readers.page.cells import (
    STAGE_WORDS,
    WEEKDAYS,
    Big,
    count_change,
    in_words,
    interval,
    percent,
    rate,
    rate_change,
    signless,
)
from plant_assets.readers.page.figures import Figures, Stages


def compared_days(figures: Figures) -> str:
    """Which days are compared, in words."""
    if not figures.whole_days:
        if figures.is_running:
            return "no whole day of it is over, so nothing is compared yet"
        return "the store's first week: there is none before to compare with"
    if not figures.is_running:
        return "changes are against the week before"
    days = whole_days(figures.whole_days)
    return f"changes compare its whole days, {days}, with the same days of the week before"


def whole_days(stages: Stages) -> str:
    """The weekdays that are over."""
    last = WEEKDAYS[stages["page_view"].until_date.weekday()]
    return "Monday" if last == "Monday" else f"Monday to {last}"


def headline(figures: Figures, calendar: Calendar) -> str:
    """The week in a sentence or two, in plain words."""
    viewed, bought = figures.funnel["page_view"].sessions, figures.funnel["checkout"].overall_rate
    so_far = " so far" if figures.is_running else ""
    if not figures.has_events:
        first = f"No session was recorded in this week{so_far}"
        if figures.events_until and figures.events_until < figures.starts_at:
            first += f": the events end on {calendar.date_of(figures.events_until)}"
    else:
        first = f"{signless(viewed)} {'session' if viewed == 1 else 'sessions'} viewed a page{so_far}"
        first += _against(figures)
        if viewed and "checkout" in figures.stages:
            first += f"; {rate(bought).text} of that number checked out"
        has_lost = figures.steps["is_largest_by_count"] & (figures.steps["lost"] > 0)
        for largest in figures.steps[has_lost].to_dict("records"):
            step = f"{in_words(largest['from_stage'])} and {in_words(largest['to_stage'])}"
            first += f", and most were lost between {step} ({signless(int(largest['lost']))})"
    stock = figures.stock
    if stock is None or not figures.is_stock_observed:
        return f"{first}. No stock was observed in it."
    moved = f"The stock of {_products(stock.products_changed)}" if stock.products_changed else "No product's stock"
    out = f"{_products(stock.out_of_stock)} {'is' if stock.out_of_stock == 1 else 'are'}"
    when = "now" if figures.is_running else "at its end" if figures.is_stock_complete else "as last observed"
    return f"{first}. {moved} changed, and {out if stock.out_of_stock else 'none is'} out of stock {when}."


def _products(number: int) -> str:
    return f"{number:,} product" if number == 1 else f"{number:,} products"


def _against(figures: Figures) -> str:
    if not figures.whole_days:
        return ""
    views = figures.whole_days["page_view"]
    of_days = f": on {whole_days(figures.whole_days)}" if figures.is_running else ","
    than = "on these days of the week before" if figures.is_running else "the week before"
    if views.change_rate is None:
        return (
            f"{of_days} {signless(views.sessions)}, after none {than}"
            if figures.is_running
            else ", after a week without any"
        )
    points = round(percent(views.change_rate))
    if not points:
        return f"{of_days} about as many as {than}"
    return f"{of_days} {abs(points):,} % {'more' if points > 0 else 'fewer'} than {than}"


def big_numbers(figures: Figures) -> list[Big]:
    """The week's counts and rates with their changes."""
    found = [
        Big(f"{STAGE_WORDS[stage]}, sessions", signless(figures.funnel[stage].sessions), _stage_change(figures, stage))
        for stage in figures.stages
    ]
    if "checkout" in figures.stages:
        bought, compared = figures.funnel["checkout"], figures.whole_days.get("checkout")
        change = ""
        if compared:
            bounds = compared.overall_change_low, compared.overall_change_high
            change = rate_change(compared.overall_change, *bounds)
        note = interval(bought.overall_low, bought.overall_high).value or ""
        found.append(Big("Purchase rate", rate(bought.overall_rate).text, change, note))
    return [*found, _out_of_stock(figures)]


def _stage_change(figures: Figures, stage: str) -> str:
    compared = figures.whole_days.get(stage)
    if compared is None or compared.change is None or compared.sessions_before is None:
        return ""
    change = count_change(compared.change, compared.change_rate)
    if figures.is_running:
        change += f": {signless(compared.sessions)} against {signless(compared.sessions_before)}"
    return change


def _out_of_stock(figures: Figures) -> Big:
    label, stock = "Products out of stock", figures.stock
    if stock is None or not figures.is_stock_observed:
        return Big(label, "not observed", "")
    change = "" if stock.change is None else count_change(stock.change, stock.change_rate)
    return Big(label, signless(stock.out_of_stock), change)

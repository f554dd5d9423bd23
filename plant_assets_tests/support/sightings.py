"""Random stores of two products over three weeks, as a list of observations and what each saw."""

import datetime as dt
import itertools
from dataclasses import dataclass

from hypothesis import strategies as st

from plant_assets.calendar import WEEK, Calendar
from plant_assets_tests.support.engines import Row
from plant_assets_tests.support.odd_rows import ABSENT, Seen, observed

CALENDAR = Calendar("America/New_York")
MONDAYS = [dt.date(2021, 3, 1), dt.date(2021, 3, 8), dt.date(2021, 3, 15)]
WEEKS = [
    {"week_start_date": day, "starts_at": CALENDAR.starts_at(day), "ends_at": CALENDAR.starts_at(day + WEEK)}
    for day in MONDAYS
]
# What bounds of weeks are about, and instants within weeks, before all and after all. Quarters of hours add up exactly.
INSTANTS = [
    CALENDAR.starts_at(MONDAYS[0]) - dt.timedelta(days=2),
    *itertools.chain.from_iterable(
        (
            week["starts_at"] - dt.timedelta(minutes=15),
            week["starts_at"],
            week["starts_at"] + dt.timedelta(hours=5),
            week["starts_at"] + dt.timedelta(days=3),
        )
        for week in WEEKS
    ),
    WEEKS[-1]["ends_at"],
    WEEKS[-1]["ends_at"] + dt.timedelta(days=1),
]
PRODUCTS = ("fern", "moss")

# Some observations are nearer to the next one, some are not.
MAX_GAP = dt.timedelta(hours=70)


@dataclass(frozen=True)
class Sightings:
    """What each observation, in order of time, saw of each product: None where it was absent."""

    instants: tuple[dt.datetime, ...]
    of: dict[str, tuple[Seen | None, ...]]

    @property
    def rows(self) -> dict[str, list[Row]]:
        products = {name: [ABSENT if seen is None else seen for seen in line] for name, line in self.of.items()}
        return observed([str(instant) for instant in self.instants], **products)

    def spans(self, product: str) -> list[tuple[dt.datetime, dt.datetime | None, Seen | None]]:
        """From each observation to the next (None after the last), and what held in between."""
        return list(zip(self.instants, [*self.instants[1:], None], self.of[product], strict=True))

    def stretches(self, product: str) -> list[tuple[dt.datetime, dt.datetime, Seen]]:
        """The observed stretches of a product, and what the observation at the start of each saw."""
        pairs = itertools.pairwise(zip(self.instants, self.of[product], strict=True))
        return [
            (start, end, seen)
            for (start, seen), (end, next_seen) in pairs
            if end - start <= MAX_GAP
            and seen is not None
            and next_seen is not None
            and None not in (seen.inventory, next_seen.inventory)
        ]

    def before(self, product: str, instant: dt.datetime) -> Seen | None:
        """What was known of a product just before an instant."""
        earlier = [seen for start, _end, seen in self.spans(product) if start < instant]
        return earlier[-1] if earlier else None


@st.composite
def sightings(draw: st.DrawFn) -> Sightings:
    # Few values, so that they repeat: equal neighbours and returns are what the rules are about.
    seen = st.builds(
        Seen, st.sampled_from([None, -1, 0, 1, 5]), st.sampled_from(["10", "12.5"]), st.sampled_from(["Fern", "Moss"])
    )
    stocked = st.builds(Seen, st.sampled_from([None, -1, 0, 0, 1, 5]))
    instants = sorted(draw(st.lists(st.sampled_from(INSTANTS), unique=True, min_size=1, max_size=9)))
    sighting = st.one_of(stocked, stocked, seen, st.none())
    line = st.lists(sighting, min_size=len(instants), max_size=len(instants)).map(tuple)
    return Sightings(tuple(instants), {product: draw(line) for product in PRODUCTS})

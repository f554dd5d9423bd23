"""A tiny store of files, and the changes that a random walk draws: events, observations and orders of any week."""

import datetime as dt
import random
from collections.abc import Callable
from pathlib import Path

from plant_assets.calendar import WEEK, monday_of, weeks_between
from plant_assets_tests.support.small_stores import Row, as_bytes, event, product

PRODUCTS = ("p1", "p2", "p3")
TYPES = ("page_view", "add_to_cart", "checkout", "package_shipped")
MOST_WEEKS = 26
DAY = dt.timedelta(days=1)


class Shop:
    """A store's folder. Its rows are kept here as well, so that they can be changed."""

    def __init__(self, folder: Path, drawn: random.Random) -> None:
        self.folder, self.random, self.now = folder, drawn, dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
        self.running = monday_of(self.now.date())
        self.first = self.running - 6 * WEEK
        self.files: dict[str, list[Row]] = {}
        self._numbers = iter(range(1, 1_000_000))
        for week in weeks_between(self.first, self.running):
            self._put(f"events/{week}.csv", [self._event(week) for _ in range(3)])
        for week in (self.first, self.running - 3 * WEEK):
            self._put(f"products/{week}.csv", self._stock())
        self._put("orders.csv", [self._order("o0")])
        self._put("order_items.csv", [self._item("o0")])

    def weeks(self) -> list[dt.date]:
        """The weeks from the first to the running one."""
        return weeks_between(self.first, self.running)

    # Changes: each says what it did, in a word and where.

    def late(self) -> str:
        week = self._week()
        self._put(f"events/late-{next(self._numbers)}.csv", [self._event(week)])
        return f"late events in {week}"

    def appended(self) -> str:
        name = self._events()
        weeks = [self._week() for _ in range(self.random.randint(1, 2))]
        self._put(name, [*self.files[name], *map(self._event, weeks)])
        return f"appended to {name} in {weeks}"

    def moved(self) -> str:
        name, target, week = self._events(), self._events(), self._week()
        row = self.random.choice(self.files[name])
        self._put(name, [each for each in self.files[name] if each is not row])
        self._put(target, [*self.files[target], {**row, "created_at": self._instant(week)}])
        return f"moved {row['event_id']} of {row['created_at']} in {name} to {week} in {target}"

    def conflicting(self) -> str:
        row, week = self.random.choice(self.files[self._events()]), self._week()
        name = f"events/{self.random.choice('ax')}-{next(self._numbers)}.csv"
        self._put(name, [{**row, "created_at": self._instant(week), "event_type": self.random.choice(TYPES)}])
        return f"conflicting {row['event_id']} of {row['created_at']} in {week}"

    def removed(self) -> str:
        name = self._events()
        rows = self.files[name]
        kept = [] if self.random.random() < 0.3 else [each for each in rows if each is not self.random.choice(rows)]
        if not kept and len(self._all_events()) > 4:
            del self.files[name]
            (self.folder / name).unlink()
            return f"removed {name}"
        self._put(name, kept or rows)
        return f"removed rows of {name}"

    def observed(self) -> str:
        at = dt.datetime.fromisoformat(self._instant(self._week()).rstrip("Z"))
        name = f"products/{at:%Y-%m-%dT%H-%M-%SZ}.csv"
        self._put(name, self.files.get(name) or self._stock())
        return f"observed {name}"

    def corrected(self) -> str:
        name = self.random.choice([name for name in self.files if name.startswith("products/")])
        self._put(name, self._stock())
        return f"corrected {name}"

    def begun(self) -> str:
        if len(self.weeks()) >= MOST_WEEKS:
            return self.late()
        self.first -= WEEK * self.random.randint(1, 2)
        if self.random.random() < 0.7:
            self._put(f"events/first-{next(self._numbers)}.csv", [self._event(self.first)])
        else:
            self._put(f"products/{self.first}.csv", self._stock())
        return f"begun in {self.first}"

    def ordered(self) -> str:
        order_id, week = f"o{next(self._numbers)}", self._week()
        self._put("orders.csv", [*self.files["orders.csv"], self._order(order_id)])
        self._put("order_items.csv", [*self.files["order_items.csv"], self._item(order_id)])
        bought = {**self._event(week), "event_type": "checkout", "order_id": order_id, "product_id": None}
        self._put(f"events/ordered-{order_id}.csv", [bought])
        return f"ordered {order_id} in {week}"

    # Rows

    def _put(self, name: str, rows: list[Row]) -> None:
        self.files[name] = rows
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(name, rows))

    def _all_events(self) -> list[str]:
        return [name for name in self.files if name.startswith("events/") and self.files[name]]

    def _events(self) -> str:
        return self.random.choice(self._all_events())

    def _week(self) -> dt.date:
        return self.random.choice(self.weeks())

    def _instant(self, week: dt.date) -> str:
        starts_at = dt.datetime.combine(week, dt.time())
        seconds = (min(starts_at + WEEK, self.now) - starts_at).total_seconds()
        return f"{starts_at + dt.timedelta(seconds=self.random.randrange(int(seconds) or 1))}Z"

    def _event(self, week: dt.date) -> Row:
        number = next(self._numbers)
        return event(
            f"e{number}",
            self._instant(week),
            session_id=f"s{number % 5}",
            event_type=self.random.choice(TYPES[:2]),
            product_id=self.random.choice(PRODUCTS),
        )

    def _stock(self) -> list[Row]:
        held = self.random.sample(PRODUCTS, self.random.randint(2, 3))
        return [product(each, name=f"Plant {each}", inventory=str(self.random.randint(0, 4))) for each in sorted(held)]

    def _order(self, order_id: str) -> Row:
        return {
            "order_id": order_id,
            "user_id": "u1",
            "created_at": self._instant(self.first),
            "order_total": "9.5",
            "status": "paid",
        }

    def _item(self, order_id: str) -> Row:
        return {"order_id": order_id, "product_id": self.random.choice(PRODUCTS), "quantity": "1"}


CHANGES: tuple[Callable[[Shop], str], ...] = (
    Shop.late,
    Shop.appended,
    Shop.moved,
    Shop.conflicting,
    Shop.removed,
    Shop.observed,
    Shop.corrected,
    Shop.begun,
    Shop.ordered,
)

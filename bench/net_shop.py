"""A random shop of the net: events, orders and stock with odd rows of every kind, all as text."""

import datetime as dt
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

Row = dict[str, str | None]

BEGIN, END = dt.datetime(2026, 2, 16), dt.datetime(2026, 3, 24, 6)
# When the rows that are late come at last.
LATE = dt.datetime(2026, 3, 23)
OBSERVED_EVERY, THIN = dt.timedelta(hours=60), dt.datetime(2026, 3, 10, 18)
PRODUCTS, SESSIONS = 12, 350


@dataclass(frozen=True)
class Told:
    """A row, when its source has it, and in which file."""

    at: dt.datetime
    file: str
    row: Row


class Shop:
    """All that ever happens in a shop; `files` is what its source holds at an instant."""

    def __init__(self, chance: random.Random, has_uuids: bool) -> None:
        self._chance, self._has_uuids = chance, has_uuids
        self._products = [self._id("product", number) for number in range(PRODUCTS)]
        self._told: list[Told] = []
        for number in range(SESSIONS):
            self._visit(number)
        self._observations = dict(self._observe())

    def files(self, until: dt.datetime, products: str) -> dict[str, list[Row]]:
        """Return the rows of each file; `products` are dated, live, or the history of a dbt snapshot."""
        held: dict[str, list[Row]] = {}
        for told in sorted((each for each in self._told if each.at <= until), key=lambda each: each.at):
            held.setdefault(told.file, []).append(told.row)
        seen = {at: rows for at, rows in self._observations.items() if at <= until}
        if products == "live":
            return {**held, "products": seen[max(seen)]}
        if products == "history":
            return {**held, "products_snapshot": list(_versions(seen))}
        # The third one comes late.
        late = sorted(seen)[2]
        known = {at: rows for at, rows in seen.items() if at != late or until >= LATE}
        return {**held, **{f"products/{at:%Y-%m-%dT%H-%M-%SZ}": rows for at, rows in known.items()}}

    def _id(self, kind: str, number: int | str) -> str:
        name = f"{kind}-{number}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name)) if self._has_uuids else name

    def _is(self, share: float) -> bool:
        return self._chance.random() < share

    def _visit(self, number: int) -> None:
        at = BEGIN + (END - BEGIN) * self._chance.random()
        session, user = self._id("session", number), self._id("user", number % 90)
        viewed = self._chance.choices(self._products, k=self._chance.randint(1, 4))
        stages = [("page_view", each) for each in viewed]
        stages += [("add_to_cart", each) for each in viewed if self._is(0.5)]
        for event_type, product in stages:
            at += dt.timedelta(seconds=self._chance.randint(1, 90_000) / 1_000 * 10)
            self._click(at, session, user, event_type, product_id=product)
        if self._is(0.4):
            order = self._id("order", number)
            self._click(at, session, user, "checkout", order_id=order)
            self._order(at, order, user, viewed)
            if self._is(0.8):
                shipped_at = at + dt.timedelta(hours=self._chance.randint(1, 100))
                self._click(shipped_at, session, user, "package_shipped", order_id=order)

    def _click(self, at: dt.datetime, session: str, user: str, event_type: str, **of: str) -> None:
        number = len(self._told)
        row: Row = {
            "event_id": self._id("event", number),
            "session_id": session,
            "user_id": user,
            "page_url": f"https://plants.example/{number}",
            "created_at": f"{at:%Y-%m-%dT%H:%M:%S.%f}Z",
            "event_type": event_type,
            "order_id": of.get("order_id"),
            "product_id": of.get("product_id"),
        }
        known_at, file = at, f"events/{at.date() - dt.timedelta(days=at.weekday())}"
        if at < LATE and self._is(0.04):
            # In a file of their own, or at the end of the week's.
            known_at, file = LATE, file if self._is(0.5) else "events/late"
        for each in (row, *self._odd_clicks(row, at)):
            self._told.append(Told(known_at, file, each))

    def _odd_clicks(self, row: Row, at: dt.datetime) -> Iterator[Row]:
        """Yield rows that are duplicates of an event, in conflict with it, of no use, or strange."""
        if self._is(0.02):
            yield dict(row)
        if self._is(0.02):
            # A week earlier: the stored row may have to yield.
            earlier = at - dt.timedelta(days=self._chance.choice([0, 7]))
            yield {**row, "created_at": f"{earlier:%Y-%m-%d %H:%M:%S}", "page_url": "https://plants.example/other"}
        odd: list[Row] = [
            {"created_at": "soon"},
            {"created_at": "2031-01-01T00:00:00Z"},
            {"session_id": None},
            {"event_id": ""},
            {"event_type": "wishlist"},
            {"product_id": self._id("product", "ghost")},
            {"product_id": "NULL"},
            {"order_id": self._id("order", "ghost"), "event_type": "checkout"},
            {"created_at": f"{at:%Y-%m-%dT%H:%M:%S}+02:00"},
            {"page_url": 'a "quoted", naïve\nURL'},
        ]
        if self._is(0.08):
            # From then on not all ids are UUIDs.
            fresh = f"odd {len(self._told)}" if at >= LATE else self._id("odd", len(self._told))
            yield {**row, "event_id": fresh, **self._chance.choice(odd)}

    def _order(self, at: dt.datetime, order: str, user: str, products: list[str]) -> None:
        row: Row = {
            "order_id": order,
            "user_id": user,
            "created_at": f"{at:%Y-%m-%d %H:%M:%S}",
            "order_total": str(self._chance.randint(100, 9_999) / 100),
            "status": "paid",
        }
        self._told.append(Told(at, "orders", row))
        if self._is(0.03):
            self._told.append(Told(at, "orders", {**row, "status": self._chance.choice(["paid", "lost"])}))
        for product in products if self._is(0.95) else []:
            quantity = self._chance.choice(["1", "1", "2", "3", None, "many" if self._is(0.2) else "4"])
            item: Row = {"order_id": order, "product_id": product, "quantity": quantity}
            # Lines of one product are added up; in another file they are the same again, or in conflict.
            self._told.append(Told(at, "order_items/1", item))
            if self._is(0.03):
                other = item if self._is(0.5) else {**item, "quantity": "9"}
                self._told.append(Told(LATE, "order_items/2", other))

    def _observe(self) -> Iterator[tuple[dt.datetime, list[Row]]]:
        """Yield the instants of observations, and the products that each finds."""
        held = [self._chance.randint(0, 30) for _ in self._products]
        prices = [self._chance.randint(100, 5_000) / 100 for _ in self._products]
        names: list[str | None] = [f"Plant {number}" for number in range(PRODUCTS)]
        at = BEGIN + dt.timedelta(hours=6)
        while at <= END:
            rows: list[Row] = []
            for number, product in enumerate(self._products):
                held[number] += self._chance.choice([0, 0, -1, -5, 7]) if held[number] > -4 else 20
                prices[number] += 0.25 * self._is(0.1)
                names[number] = self._chance.choice(["Renamed", None]) if self._is(0.02) else names[number]
                stock = None if self._is(0.05) else str(held[number])
                row: Row = {
                    "product_id": product,
                    "name": names[number],
                    "price": None if self._is(0.02) else str(prices[number]),
                    "inventory": stock,
                }
                rows += [row] * (0 if self._is(0.06) else 2 if self._is(0.03) else 1)
                if self._is(0.02):
                    rows.append({**row, **self._chance.choice([{"price": "cheap"}, {"inventory": "99"}])})
            # One of too few products.
            yield at, rows[:2] if at == THIN else rows
            at += OBSERVED_EVERY


def _versions(seen: dict[dt.datetime, list[Row]]) -> Iterator[Row]:
    """Yield observations as the rows of a dbt snapshot, one of which ends before it begins."""
    instants = sorted(seen)
    for product in sorted({str(row["product_id"]) for rows in seen.values() for row in rows}):
        held: list[tuple[dt.datetime, Row | None]] = []
        for at in instants:
            row = next((each for each in seen[at] if each["product_id"] == product), None)
            if not held or held[-1][1] != row:
                held.append((at, row))
        ends: list[dt.datetime | None] = [at for at, _row in held[1:]]
        for (begins_at, row), ends_at in zip(held, [*ends, None], strict=True):
            if row:
                yield {**row, "dbt_valid_from": str(begins_at), "dbt_valid_to": ends_at and str(ends_at)}
    yield {**seen[instants[0]][0], "dbt_valid_from": str(instants[1]), "dbt_valid_to": str(instants[0])}

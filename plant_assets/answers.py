"""The four answers, read from the published marts."""

import datetime as dt
import json
from dataclasses import dataclass
from typing import Any

from plant_assets.contracts import RATES, STAGES
from plant_assets.storage import Warehouse

STOCKOUT_WEEKS = 3


@dataclass(frozen=True)
class Answers:
    """What the store's analysts ask, of the latest week that has inventory."""

    week: dt.date | None
    previous_week: dt.date | None
    is_complete: bool
    inventory_changed: list[str]
    most_fluctuating: list[str]
    out_of_stock: list[str]
    funnel: dict[str, int | None]
    largest_drop_offs: list[dict[str, Any]]
    stages: tuple[str, ...] = STAGES

    def to_json(self) -> str:
        """One object, as programs read it."""
        return json.dumps(
            {
                "week": self.week and self.week.isoformat(),
                "previous_week": self.previous_week and self.previous_week.isoformat(),
                "inventory_changed": self.inventory_changed,
                "most_fluctuating": self.most_fluctuating,
                "out_of_stock": {"weeks": STOCKOUT_WEEKS, "products": self.out_of_stock},
                "funnel": self.funnel,
                "largest_drop_offs": self.largest_drop_offs,
            },
            ensure_ascii=False,
        )

    def to_text(self) -> str:
        """The same in words, without the stages that the store does not have."""
        steps = [step for step in self.largest_drop_offs if {step["from"], step["to"]} <= set(self.stages)]
        return "\n".join(
            [
                self._week_in_words(),
                f"Inventory changed      {_names(self.inventory_changed)}",
                f"Most fluctuating       {_names(self.most_fluctuating)}",
                f"Out of stock, {STOCKOUT_WEEKS} weeks  {_names(self.out_of_stock)}",
                "Funnel, sessions       "
                + ", ".join(
                    f"{stage} {self.funnel[stage]}{_percent(self.funnel[rate])}"
                    for stage, rate in zip(STAGES, RATES, strict=True)
                    if stage in self.stages
                ),
                "Largest drop-offs      "
                + (
                    "; ".join(
                        f"{step['from']} to {step['to']}: {step['lost']} lost{_points(step['points_lost'])}"
                        for step in steps
                    )
                    or "none"
                ),
            ]
        )

    def _week_in_words(self) -> str:
        if self.week is None:
            return "No product has been observed yet."
        last_day = self.week + dt.timedelta(days=6)
        against = f" against the week of {self.previous_week}" if self.previous_week else ""
        running = "" if self.is_complete else "; it is not complete"
        return f"Week {self.week} to {last_day}{against}{running}"


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _percent(rate: int | None) -> str:
    return "" if rate is None else f" ({rate} %)"


def _points(points: int | None) -> str:
    return "" if points is None else f" ({points} points)"


def read_answers(marts: Warehouse) -> Answers:
    """The answers as of the last run that was published."""
    weeks = [
        row[0]
        for row in marts.rows(
            "select distinct week_start_date from inventory order by 1 desc limit ?", [STOCKOUT_WEEKS]
        )
    ]
    week = weeks[0] if weeks else None

    def names(statement: str, parameters: list[Any]) -> list[str]:
        found = marts.rows(
            f"select distinct coalesce(product_name, product_id) as name from {statement} order by name",
            parameters,
        )
        return [row[0] for row in found]

    funnel = marts.rows(f"select {', '.join(STAGES + RATES)} from funnel")[0]
    steps = marts.rows(
        "select from_stage, to_stage, lost, points_lost from funnel_steps"
        " order by lost desc, list_position(?::varchar[], from_stage)",
        [list(STAGES)],
    )
    return Answers(
        week=week,
        previous_week=weeks[1] if len(weeks) > 1 else None,
        is_complete=bool(marts.value("select bool_and(is_complete) from inventory where week_start_date = ?", [week])),
        inventory_changed=names("inventory_changes where week_start_date = ? and change <> 0", [week]),
        most_fluctuating=names("inventory_fluctuations where rank = 1 and range is not null", []),
        out_of_stock=names("inventory where min_inventory <= 0 and list_contains(?::date[], week_start_date)", [weeks]),
        funnel=dict(zip(STAGES + RATES, funnel, strict=True)),
        largest_drop_offs=[dict(zip(("from", "to", "lost", "points_lost"), row, strict=True)) for row in steps],
        stages=marts.stages(),
    )

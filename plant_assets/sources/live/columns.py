"""The columns of one live table: what the server sends for each, and how the engine reads that."""

from dataclasses import dataclass
from functools import cached_property

from plant_assets.contracts import INSTANT
from plant_assets.sources.live.types import TIMESTAMPS, as_given, as_read, engine_type
from plant_assets.sources.tables import OTHERS, ReadTable
from plant_assets.sql import identifier

# The name of a row of the table that is read.
ROW = "shop_row"


@dataclass(frozen=True)
class SentColumns:
    """The columns of a table that the server sends, as SQL for the server and for the engine.

    Attributes:
        table: the table as the store has it.
        kinds: our columns that the store has, each with the server's type.
        others: the SQL of the columns that are not read, as JSON.
    """

    table: ReadTable
    kinds: dict[str, str]
    others: str

    @cached_property
    def _clamped(self) -> list[str]:
        """The instants, which the server also sends as text if the engine cannot hold them."""
        return [
            name for name, kind in self.kinds.items() if self.table.columns.get(name) == INSTANT and kind in TIMESTAMPS
        ]

    @property
    def selected(self) -> str:
        """What the server selects."""
        theirs = self.table.theirs
        columns = [
            f"{as_read(identifier(theirs[name]), kind)} as {identifier(name)}" for name, kind in self.kinds.items()
        ]
        columns += [f"{as_given(identifier(theirs[name]))} as given_{name}" for name in self._clamped]
        if OTHERS in self.table.columns:
            columns.append(f"{self.others} as {OTHERS}")
        return ", ".join(columns)

    @property
    def values(self) -> str:
        """What the engine reads from the rows that the server sent."""
        return ", ".join(
            [self.table.values({name: name for name in (*self.kinds, OTHERS)}), *map("given_{}".format, self._clamped)]
        )

    @property
    def types(self) -> dict[str, str]:
        """Our columns, each with the engine's type for what was sent."""
        return {name: engine_type(self.kinds[name]) if name in self.kinds else "VARCHAR" for name in self.table.names}

    @property
    def raw_text(self) -> str:
        """The engine's expression of a row's text, as JSON."""
        values = [f"{name} := coalesce(given_{name}, {name}::varchar)" for name in self._clamped]
        values += [f"{name} := {name}" for name in self.kinds if name not in self._clamped]
        return f"to_json(struct_pack({', '.join(values)}))::varchar"

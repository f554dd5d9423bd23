"""What a mapping says: a store's own names of tables, columns, event types and instants.

How its file is read is in `mapping_file.py`. Its names reach SQL only as quoted names and literals.
"""

import codecs
import datetime as dt
import hashlib
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from plant_assets.calendar import known_zone
from plant_assets.contracts import STAGES
from plant_assets.sources.instants import EPOCHS

NONE = "none"
# Words that stand for no value in ids, numbers and instants, as an empty field does everywhere.
NULL_WORDS = ("NULL", "null", "\\N", "NaN", "nan", "NA", "N/A", "None")
# Columns that are read and not loaded: the price of an event, if products are made from events; the place where a
# product is in stock, if its rows are summed over places.
PRICE_OF_EVENT, PLACE = "price", "place"

TableName = Literal["events", "products", "stock", "order_items", "orders", "products_snapshot"]
IdName = Literal["session_id", "user_id", "order_id", "product_id"]
IdForm = Literal["integer", "text", "lower"]
Stage = Literal["page_view", "add_to_cart", "checkout", "package_shipped"]
# Names are quoted in SQL. A quote inside a name would need another rule for each file format.
FileStem = Annotated[str, StringConstraints(pattern=r"""^[^."'\\/\x00-\x1f][^"'\\/\x00-\x1f]*$""")]
ColumnName = Annotated[str, StringConstraints(pattern=r"""^[^"'\\\x00-\x1f]+$""")]
# Several columns of the store, whose values together are one of ours.
Columns = Annotated[tuple[ColumnName, ...], Field(min_length=2)]
Constant = StrictStr | StrictInt | StrictFloat


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Time(_Section):
    """How the store writes instants: a strptime format, and the zone of instants without an offset."""

    format: str | None = None
    zone: str = "UTC"

    @field_validator("format")
    @classmethod
    def _names_an_instant(cls, value: str | None) -> str | None:
        instant = dt.datetime(2001, 12, 31, tzinfo=dt.UTC)
        try:
            if value is None or value in EPOCHS:
                return value
            if dt.datetime.strptime(instant.strftime(value), value).date() == instant.date():
                return value
        except (ValueError, re.error):
            # A directive that is given twice makes strptime build an invalid pattern.
            pass
        raise ValueError(
            f"a format of strptime that names year, month and day, like %d.%m.%Y %H:%M:%S; or {', '.join(EPOCHS)}"
        )

    _known_zone = field_validator("zone")(known_zone)


class CsvForm(_Section):
    """How csv files are written; what is not given is found in each file, or is as in most."""

    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    decimal: Literal[",", "."] | None = None
    thousands: Literal[",", ".", "'", " "] | None = None
    encoding: str | None = None
    quote: Annotated[str, Field(max_length=1)] = '"'
    skip: Annotated[int, Field(ge=0)] = 0

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            # Python also knows codecs that are no encodings of text: these fail to encode.
            return codecs.lookup(value).name if value and "a".encode(value) else value
        except LookupError:
            raise ValueError("an encoding that Python knows, like cp1252, latin-1 or utf-16") from None

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> "CsvForm":
        if self.thousands and self.thousands == (self.decimal or "."):
            raise ValueError("thousands and decimal are one character: give both")
        return self


class StoreMapping(_Section):
    """A store's names for what we read. Without a mapping file, every name is ours."""

    tables: dict[TableName, FileStem] = {}
    columns: dict[TableName, dict[str, ColumnName | Columns]] = {}
    constants: dict[TableName, dict[str, Constant]] = {}
    event_types: Annotated[dict[str, Stage], Field(min_length=1)] | None = None
    time: Time = Time()
    nulls: tuple[StrictStr, ...] | None = None
    ids: dict[IdName, IdForm] = {}
    sum_over: dict[Literal["products", "stock"], ColumnName] = {}
    not_sold: tuple[StrictStr, ...] = ()
    csv: dict[TableName, CsvForm] = {}

    @field_validator("csv", mode="before")
    @classmethod
    def _of_all_tables(cls, value: Any) -> Any:
        names = get_args(TableName)
        is_of_all = isinstance(value, dict) and value and not set(value) & set(names)
        return dict.fromkeys(names, value) if is_of_all else value

    def csv_form(self, table: str) -> CsvForm:
        """Return how the csv files of a table are written."""
        return self.csv.get(cast("TableName", table), CsvForm())

    @cached_property
    def digest(self) -> str:
        """A hash of what rows are read by, so that rows read by another mapping are known; empty if all is ours."""
        given = self.model_dump_json(exclude_defaults=True, exclude={"not_sold"})
        return "" if given == "{}" else hashlib.sha256(given.encode()).hexdigest()[:16]

    def table(self, name: str) -> str | None:
        """Return the store's name of a table; None if the mapping says that the store does not have it.

        A table that it gives to another of ours is not stock by its name too.
        """
        theirs = next((theirs for ours, theirs in self.tables.items() if ours == name), name)
        is_taken = name == "stock" and name not in self.tables and name in self.tables.values()
        return None if theirs == NONE or is_taken else theirs

    def place(self, table: str) -> str | None:
        """Return the store's name of the column over which a table's rows are summed, or None."""
        columns = {str(ours): theirs for ours, theirs in self.sum_over.items()}
        # Products beside stock have no inventory.
        return columns.get(table) or (columns.get("products") if table == "stock" else None)

    def instants_of(self, table: str) -> str | None:
        """Return the store's name of the column of a row's instant; None if the mapping says that there is none."""
        # Products beside stock have no instants.
        given, of_products = (self._of(self.columns, each).get("observed_at") for each in (table, "products"))
        theirs = given or (of_products if of_products != NONE else None) or "observed_at"
        return None if theirs == NONE else str(theirs)

    @property
    def makes_products(self) -> bool:
        """Whether products are made from the events that name them."""
        return self.table("products") is None

    @property
    def has_order_items(self) -> bool:
        """Whether the store has order items; without them, each event counts for the product that it names."""
        return self.table("order_items") is not None

    @property
    def null_words(self) -> tuple[str, ...]:
        """The words that stand for no value: ours and those that are given; an empty list turns all off."""
        return NULL_WORDS + (self.nulls or ()) if self.nulls != () else ()

    def id_form(self, name: str) -> str | None:
        """Return the form in which the ids of a column are compared; None for those that stay as they are."""
        return next((form for column, form in self.ids.items() if column == name), None)

    @property
    def stages(self) -> tuple[str, ...]:
        """The funnel stages that the store has, in order."""
        return STAGES if self.event_types is None else tuple(s for s in STAGES if s in self.event_types.values())

    def columns_read(self, table: str, names: Iterable[str]) -> dict[str, str]:
        """Return those of our columns that the store has, each with the store's name; parts of one by their names."""
        given, constants, parts = self._of(self.columns, table), self._of(self.constants, table), self.parts(table)
        given = {**given, PLACE: self.place(table), "observed_at": self.instants_of(table)}
        theirs = {name: given.get(name, name) for name in names if name not in (*constants, *parts)}
        for name, names_of_parts in parts.items():
            theirs |= dict(zip(names_of_parts, given[name], strict=True))
        return {name: column for name, column in theirs.items() if column != NONE}

    def parts(self, table: str) -> dict[str, tuple[str, ...]]:
        """Return our columns that several of the store make, each with the names under which those are read."""
        given = self._of(self.columns, table)
        return {
            name: tuple(f"{name}_{number}" for number, _column in enumerate(columns, 1))
            for name, columns in given.items()
            if isinstance(columns, tuple)
        }

    def constant(self, table: str, name: str) -> str | None:
        """Return the constant value of a column that the store does not have, or None."""
        value = self._of(self.constants, table).get(name)
        return None if value is None else str(value)

    @property
    def makes_event_ids(self) -> bool:
        """Whether events get a hash of their values as id, because the store gives them none."""
        return bool(self._of(self.columns, "events").get("event_id") == NONE)

    def _of(self, section: dict[Any, Any], table: str) -> Any:
        return section.get(table, {})

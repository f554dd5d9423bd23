"""The PLANT_* variables as one validated object. No other module reads them from the environment."""

import datetime as dt
import json
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import plant_assets
from plant_assets import duckdb_url
from plant_assets.calendar import KNOWN_WEEKS, Calendar, is_known, known_zone, monday_of
from plant_assets.duckdb_url import DuckDBUrl
from plant_assets.postgres_url import SCHEMES, PostgresUrl

PREFIX = "PLANT_"
SPARK = "spark://"
SPARK_MASTERS = re.compile(r"local(\[([1-9]\d*|\*)\])?|[^,/\s:]+:\d+(,[^,/\s:]+:\d+)*")
# The umask of processes that write: DuckDB and Dagster make files, and neither takes a mode.
FOR_OWNER_ONLY = 0o077


class UsageError(Exception):
    """The user asked for something that cannot be done. The message says what to do instead."""


def project_root() -> Path:
    """Return the folder of the checkout that the package is in, else the current folder."""
    beside_package = Path(plant_assets.__file__).resolve().parent.parent
    return beside_package if (beside_package / "workspace.yaml").exists() else Path.cwd()


def _absolute_path(value: Path | str) -> Path:
    """Return a path of the environment as an absolute path.

    Raises:
        ValueError: no file can have this path. The message says what is allowed.
    """
    if not str(value):
        raise ValueError("a path that is not empty")
    try:
        path = Path(value).expanduser().resolve()
        path.exists()
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError("a path in UTF-8") from None
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"a path that this machine can resolve ({reason})") from None
    return path


def _directory_of_tables(value: Path | str | None) -> Path | None:
    if isinstance(value, str) and "://" in value:
        raise ValueError("a directory that this machine and all workers see; object stores are not supported")
    return None if value is None else _absolute_path(value)


def _size(value: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)? ?([KMGT]i?B|%)", value) or not float(re.split(r"[ KMGT%]", value)[0]):
        raise ValueError("a size like 4GB, or a share of the machine's memory like 50%")
    return value


def _monday(value: dt.date) -> dt.date:
    if not is_known(value):
        raise ValueError(KNOWN_WEEKS)
    if value != monday_of(value):
        raise ValueError(f"a Monday, like {monday_of(value)}")
    return value


class Settings(BaseSettings):
    """The settings of a store and its warehouse. Paths are absolute."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    home: Path = Path(".plant")
    source: str | None = Field(None, repr=False)
    mapping: Annotated[Path, AfterValidator(_absolute_path)] | None = None
    warehouse: Path | str | None = None
    tables: Annotated[Path | None, BeforeValidator(_directory_of_tables)] = None
    timezone: str = "UTC"
    start: Annotated[dt.date, AfterValidator(_monday)] | None = None
    late_weeks: int = Field(1, ge=0, le=520)
    fluctuation_weeks: int | None = Field(None, ge=1)
    min_products: float = Field(0.5, ge=0, le=1)
    max_rejected: float = Field(0.05, ge=0, le=1)
    ship_limit_days: int = Field(7, ge=0, le=365)
    min_rows: float = Field(0.5, ge=0, le=1)
    max_run_hours: float = Field(5, ge=0, allow_inf_nan=False)
    max_gap_hours: float = Field(12, gt=0, le=24 * 366, allow_inf_nan=False)
    memory_limit: Annotated[str, AfterValidator(_size)] = "50%"
    alert_url: SecretStr | None = None
    ui_url: str = "http://127.0.0.1:3000"
    records: SecretStr | None = None

    @field_validator("home")
    @classmethod
    def _under_root(cls, value: Path) -> Path:
        path = _absolute_path(project_root() / value.expanduser())
        if path.exists() and not path.is_dir():
            raise ValueError("a directory")
        return path

    @field_validator("warehouse", mode="before")
    @classmethod
    def _absolute(cls, value: Path | str | None) -> Path | str | None:
        if isinstance(value, str) and "://" in value:
            if not (value.startswith(SPARK) and SPARK_MASTERS.fullmatch(value.removeprefix(SPARK))):
                raise ValueError("a DuckDB file, spark://local[*], or spark://HOST:PORT of a Spark master")
            return value
        if value is None:
            return None
        path = _absolute_path(value)
        if "?" in path.name:
            raise ValueError("a path without a question mark, which DuckDB takes for the start of options")
        if path.exists() and not path.is_file():
            raise ValueError("a DuckDB file, or the path of a new one")
        return path

    @field_validator("source", mode="before")
    @classmethod
    def _directory_or_database(cls, value: str | Path | None) -> str | None:
        if isinstance(value, str) and "://" in value:
            scheme = value.split("://", 1)[0]
            if scheme == duckdb_url.SCHEME:
                return DuckDBUrl.of(value).resolved().store
            if scheme not in SCHEMES:
                raise ValueError(
                    f"a directory, a postgresql:// or a duckdb:/// URL; {scheme}:// is not supported by this version"
                )
            return PostgresUrl(value).text
        return None if value is None else str(_absolute_path(value))

    _known_zone = field_validator("timezone")(known_zone)

    @field_validator("records")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value and "," in PostgresUrl(value.get_secret_value()).shown:
            raise ValueError("one host, because Dagster's client takes no list")
        return value

    @property
    def is_sample(self) -> bool:
        """Whether the source is the sample store."""
        return self.source is None

    @property
    def database(self) -> PostgresUrl | DuckDBUrl | None:
        """The source if it is a database, else None."""
        if not self.source or "://" not in self.source:
            return None
        return DuckDBUrl.of(self.source) if self.source.startswith(duckdb_url.SCHEME) else PostgresUrl(self.source)

    @property
    def source_name(self) -> str:
        """The source as messages name it, without a password."""
        return self.database.shown if self.database else str(self.source_path)

    @property
    def source_path(self) -> Path:
        """The directory of the source; that of the sample store if no source is set."""
        return Path(self.source) if self.source else self.home / "sample"

    @property
    def spark_master(self) -> str | None:
        """The Spark master that makes the tables; None if DuckDB makes them."""
        if not isinstance(self.warehouse, str):
            return None
        master = self.warehouse.removeprefix(SPARK)
        return self.warehouse if ":" in master else master

    @property
    def engine(self) -> str:
        """The name of the engine that makes the tables: duckdb or spark."""
        return "spark" if self.spark_master else "duckdb"

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file of the warehouse, or of the catalog of a warehouse on Spark."""
        if isinstance(self.warehouse, Path):
            return self.warehouse
        suffix = "-spark" if self.warehouse else ""
        return self.home / f"{'sample' if self.is_sample else 'plant'}{suffix}.duckdb"

    @property
    def tables_path(self) -> Path:
        """The folder of the table files of a warehouse on Spark."""
        return self.tables or self.warehouse_path.with_name(self.warehouse_path.name + ".tables")

    @property
    def marts_path(self) -> Path:
        """The DuckDB file that readers open: the marts of the last complete run."""
        return self.warehouse_path.with_name(self.warehouse_path.name + ".marts.duckdb")

    @property
    def dagster_home(self) -> Path:
        """The DAGSTER_HOME of this warehouse."""
        return self.warehouse_path.with_name(self.warehouse_path.name + ".dagster")

    @property
    def records_name(self) -> str:
        """The place of Dagster's records as messages name it, without a password."""
        return PostgresUrl(self.records.get_secret_value()).shown if self.records else str(self.dagster_home)

    @cached_property
    def calendar(self) -> Calendar:
        """The dates and weeks of the store's time zone."""
        return Calendar(self.timezone)

    @property
    def store_path(self) -> Path:
        """The file with the facts that `remembered` reads."""
        return self.dagster_home / "store.json"

    def remembered(self, name: str) -> str | None:
        """Return a fact that the warehouse keeps about its store: source, timezone or first_week; None if unknown.

        The facts are in a file of their own, which can be read while a run holds the warehouse.
        """
        try:
            facts: dict[str, str] = json.loads(self.store_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return facts.get(name)

    @property
    def first_week(self) -> dt.date | None:
        """The Monday of the first partition: PLANT_START, else the first week that was loaded."""
        known = self.remembered("first_week")
        return self.start or (dt.date.fromisoformat(known) if known else None)

    def store(self) -> dict[str, str]:
        """Return the facts by which a warehouse recognises its store: source and timezone."""
        source = self.database.store if self.database else str(self.source_path)
        return {"source": source, "timezone": self.timezone}

    def shown(self) -> dict[str, str]:
        """Return the settings in use as text, secrets masked; settings without a value are left out."""
        values = {name: str(value) for name, value in self.model_dump(exclude_none=True).items()}
        return {**values, "source": self.source_name, "warehouse": str(self.warehouse or self.warehouse_path)}

    def environment(self) -> dict[str, str]:
        """Return the variables that make another process read the same settings, secrets included."""
        values = self.model_dump(exclude_none=True)
        return {
            PREFIX + name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items()
        }


def max_gap(settings: Settings) -> dt.timedelta:
    """Return the longest time between two observations for which the time between them counts as observed."""
    return dt.timedelta(hours=settings.max_gap_hours)


def is_secret(name: str) -> bool:
    """Return whether a setting is a secret."""
    return Settings.model_fields[name].annotation == SecretStr | None


def read_settings(**given: Any) -> Settings:
    """Read the settings from the environment; those that are `given` and not None take precedence.

    Raises:
        UsageError: a value is wrong. The message names the variable and what is allowed.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        name = PREFIX + field.upper()
        allowed = first["msg"].removeprefix("Value error, ")
        # A URL that cannot be parsed may have its password anywhere.
        value = "***" if is_secret(field) else re.sub(r"(?s)://.*[@:?].*", "://***", str(first["input"]))
        raise UsageError(f"{name}={value} is not allowed: {allowed}") from None


def size_in_bytes(size: str) -> int:
    """Return the bytes of a size like 4GB, 3.5 GiB or 512 bytes, or of a share of the machine's memory like 50%."""
    number, unit = float(re.split(r"[ A-Z%]", size)[0]), re.sub(r"[\d. ]", "", size)
    if unit == "%":
        return int(number / 100 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return int(number * (1024 if "i" in unit else 1000) ** "bKMGTPE".index(unit[0]))

"""The PLANT_* variables as one validated object. Nothing else reads the environment."""

import datetime as dt
import json
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

import plant_assets
from plant_assets.calendar import KNOWN_WEEKS, Calendar, is_known, known_zone, monday_of
from plant_assets.postgres_url import SCHEMES, PostgresUrl

PREFIX = "PLANT_"
SPARK = "spark://"
SPARK_MASTERS = re.compile(r"local(\[([1-9]\d*|\*)\])?|[^,/\s:]+:\d+(,[^,/\s:]+:\d+)*")
# The umask of processes that write: some files are made by DuckDB and by Dagster, which take no mode.
FOR_OWNER_ONLY = 0o077


class UsageError(Exception):
    """What the user asked for cannot be done as asked; the message says what to do instead."""


def project_root() -> Path:
    """The folder of `workspace.yaml` where the package lies beside it, else the current one."""
    beside_package = Path(plant_assets.__file__).resolve().parent.parent
    return beside_package if (beside_package / "workspace.yaml").exists() else Path.cwd()


def _absolute_path(value: Path | str) -> Path:
    """Return the absolute path that an operator names.

    Raises:
        ValueError: no file can have it.
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
        raise ValueError(f"a path that this machine can follow ({reason})") from None
    return path


class Settings(BaseSettings):
    """What a store's operator may set. Paths are absolute once read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    home: Path = Path(".plant")
    source: str | None = Field(None, repr=False)
    mapping: Path | None = None
    warehouse: Path | str | None = None
    tables: Path | None = None
    timezone: str = "UTC"
    start: dt.date | None = None
    late_weeks: int = Field(1, ge=0, le=520)
    fluctuation_weeks: int | None = Field(None, ge=1)
    min_products: float = Field(0.5, ge=0, le=1)
    max_rejected: float = Field(0.05, ge=0, le=1)
    min_rows: float = Field(0.5, ge=0, le=1)
    max_run_hours: float = Field(5, ge=0, allow_inf_nan=False)
    memory_limit: str = "50%"
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
            raise ValueError("a DuckDB file, or a place where there is none yet")
        return path

    @field_validator("tables", mode="before")
    @classmethod
    def _absolute_tables(cls, value: Path | str | None) -> Path | None:
        if isinstance(value, str) and "://" in value:
            raise ValueError("a directory that this machine and all workers see; object stores are not supported")
        return None if value is None else _absolute_path(value)

    @field_validator("mapping")
    @classmethod
    def _absolute_mapping(cls, value: Path | None) -> Path | None:
        return None if value is None else _absolute_path(value)

    @field_validator("source", mode="before")
    @classmethod
    def _directory_or_database(cls, value: str | Path | None) -> str | None:
        if isinstance(value, str) and "://" in value:
            scheme = value.split("://", 1)[0]
            if scheme not in SCHEMES:
                raise ValueError(f"a directory or a postgresql:// URL; {scheme}:// is not supported by this version")
            return PostgresUrl(value).text
        return None if value is None else str(_absolute_path(value))

    _known_zone = field_validator("timezone")(known_zone)

    @field_validator("memory_limit")
    @classmethod
    def _size(cls, value: str) -> str:
        if not re.fullmatch(r"\d+(\.\d+)? ?([KMGT]i?B|%)", value) or not float(re.split(r"[ KMGT%]", value)[0]):
            raise ValueError("a size like 4GB, or a share of the machine's memory like 50%")
        return value

    @field_validator("start")
    @classmethod
    def _monday(cls, value: dt.date | None) -> dt.date | None:
        if value and not is_known(value):
            raise ValueError(KNOWN_WEEKS)
        if value and value != monday_of(value):
            raise ValueError(f"a Monday, like {monday_of(value)}")
        return value

    @field_validator("records")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value and "," in PostgresUrl(value.get_secret_value()).shown:
            raise ValueError("one host: Dagster's client takes no list")
        return value

    @property
    def is_sample(self) -> bool:
        return self.source is None

    @property
    def database(self) -> PostgresUrl | None:
        """The database that is the source; None where it is a directory."""
        return PostgresUrl(self.source) if self.source and "://" in self.source else None

    @property
    def source_name(self) -> str:
        """The source for readers, without a password."""
        return self.database.shown if self.database else str(self.source_path)

    @property
    def source_path(self) -> Path:
        """The directory that is the source."""
        return Path(self.source) if self.source else self.home / "sample"

    @property
    def spark_master(self) -> str | None:
        """The Spark master that the warehouse's tables are made on; None where DuckDB makes them."""
        if not isinstance(self.warehouse, str):
            return None
        master = self.warehouse.removeprefix(SPARK)
        return self.warehouse if ":" in master else master

    @property
    def engine(self) -> str:
        """The kind of engine that makes tables."""
        return "spark" if self.spark_master else "duckdb"

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file: the warehouse, or the catalog of one on Spark."""
        if isinstance(self.warehouse, Path):
            return self.warehouse
        suffix = "-spark" if self.warehouse else ""
        return self.home / f"{'sample' if self.is_sample else 'plant'}{suffix}.duckdb"

    @property
    def tables_path(self) -> Path:
        """Where a warehouse on Spark has its tables' files."""
        return self.tables or self.warehouse_path.with_name(self.warehouse_path.name + ".tables")

    @property
    def marts_path(self) -> Path:
        """What readers open: the marts of the last whole run."""
        return self.warehouse_path.with_name(self.warehouse_path.name + ".marts.duckdb")

    @property
    def dagster_home(self) -> Path:
        """Dagster's records of this warehouse, or what says where they are."""
        return self.warehouse_path.with_name(self.warehouse_path.name + ".dagster")

    @property
    def records_name(self) -> str:
        """Where Dagster's records are, for readers."""
        return PostgresUrl(self.records.get_secret_value()).shown if self.records else str(self.dagster_home)

    @cached_property
    def calendar(self) -> Calendar:
        return Calendar(self.timezone)

    @property
    def store_path(self) -> Path:
        return self.dagster_home / "store.json"

    def remembered(self, name: str) -> str | None:
        """What the warehouse knows of its store (source, timezone, first_week), read while a run may write."""
        try:
            facts: dict[str, str] = json.loads(self.store_path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return facts.get(name)

    @property
    def first_week(self) -> dt.date | None:
        """The Monday that partitions begin with: the one set, else the one remembered."""
        known = self.remembered("first_week")
        return self.start or (dt.date.fromisoformat(known) if known else None)

    def store(self) -> dict[str, str]:
        """What a warehouse knows its store by."""
        source = self.database.store if self.database else str(self.source_path)
        return {"source": source, "timezone": self.timezone}

    def shown(self) -> dict[str, str]:
        """Return each setting in use as readers may see it, secrets masked; one that is not set is left out."""
        values = {name: str(value) for name, value in self.model_dump(exclude_none=True).items()}
        return {**values, "source": self.source_name, "warehouse": str(self.warehouse or self.warehouse_path)}

    def environment(self) -> dict[str, str]:
        """The variables that make another process read these very settings."""
        values = self.model_dump(exclude_none=True)
        return {
            PREFIX + name.upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items()
        }


def is_secret(name: str) -> bool:
    """Return whether a setting may be shown to nobody."""
    return Settings.model_fields[name].annotation == SecretStr | None


def read_settings(**given: Any) -> Settings:
    """The settings of the environment, with those given instead.

    Raises:
        UsageError: a value is wrong; the message names the variable and what is allowed.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        name = PREFIX + field.upper()
        allowed = first["msg"].removeprefix("Value error, ")
        # A URL that cannot be read may hold its password anywhere.
        value = "***" if is_secret(field) else re.sub(r"(?s)://.*[@:?].*", "://***", str(first["input"]))
        raise UsageError(f"{name}={value} is not allowed: {allowed}") from None


def size_in_bytes(size: str) -> int:
    """A size like 4GB, 3.5 GiB or 512 bytes, or a share of the machine's memory like 50%."""
    number, unit = float(re.split(r"[ A-Z%]", size)[0]), re.sub(r"[\d. ]", "", size)
    if unit == "%":
        return int(number / 100 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return int(number * (1024 if "i" in unit else 1000) ** "bKMGTPE".index(unit[0]))

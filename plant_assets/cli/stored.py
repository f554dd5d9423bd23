"""What several commands read from an existing warehouse. Its layout is in `readers/`."""

import datetime as dt
from pathlib import Path

from plant_assets.cli.console import OUT
from plant_assets.cli.process import dagster_records
from plant_assets.settings import Settings, UsageError, read_settings


def stored_settings(source: str | None, warehouse: str | None) -> Settings:
    """Return the settings of an existing warehouse, with its store's time zone, and its source if none is named.

    Raises:
        UsageError: the warehouse does not exist.
    """
    settings = read_settings(source=source, warehouse=warehouse)
    if not settings.warehouse_path.exists():
        raise UsageError(f"no warehouse at {settings.warehouse_path}: start with `plant-assets run`")
    stored = settings.remembered("source") if settings.is_sample and settings.warehouse else None
    if stored == settings.store()["source"]:
        stored = None
    return read_settings(source=source or stored, warehouse=warehouse, timezone=settings.remembered("timezone"))


def print_answers(settings: Settings, as_json: bool, week: dt.date | None = None, lists_all: bool = False) -> None:
    """Print the answers of the last complete run: as JSON, as tables on a terminal, else as lines."""
    from plant_assets.readers.answers import read_answers
    from plant_assets.readers.answers_text import MOST_ROWS, in_json, in_lines, in_tables
    from plant_assets.warehouse.marts import open_marts

    with open_marts(settings) as marts:
        found = read_answers(marts, week)
    most = None if lists_all else MOST_ROWS
    if as_json:
        OUT.print(in_json(found), markup=False)
    elif OUT.is_terminal:
        OUT.print(in_tables(found, most))
    else:
        OUT.print(in_lines(found, most), markup=False)


def find_page(settings: Settings, week: dt.date | None) -> Path:
    """Return the path of a week's page, or of the latest; if missing, make it from the published marts.

    Raises:
        UsageError: no marts were published, or they have no figures of the week.
    """
    from plant_assets.readers.page.render import page_path, write_pages
    from plant_assets.warehouse.marts import open_marts

    path = page_path(settings, week)
    if path.exists():
        return path
    with open_marts(settings) as marts:
        from plant_assets.checks.build import checks_of
        from plant_assets.contracts import TABLES
        from plant_assets.instance.home import prepare_home
        from plant_assets.readers.page import verdicts
        from plant_assets.readers.weeks import require_figures

        require_figures(marts, week)
        prepare_home(settings)
        with dagster_records() as instance:
            asked = [(name, check.name) for name in TABLES for check in checks_of(name)]
            checks = verdicts.last_of_each(instance, asked)
        publisher = marts.publisher() or "an unknown run"
        write_pages(settings, marts, [week] if week else [], checks, publisher, with_latest=week is None)
    return path

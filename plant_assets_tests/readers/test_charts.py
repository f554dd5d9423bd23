"""Every chart, of the page and of materializations, keeps to Vega-Lite's own schema, as Altair ships it."""

import dataclasses
import datetime as dt

import altair as alt
import pytest
import vl_convert
from jsonschema import ValidationError

from plant_assets.contracts import STAGES
from plant_assets.readers.page.charts import charts
from plant_assets.readers.page.figures import Figures
from plant_assets.readers.pictures import PICTURES
from plant_assets.readers.vega import Spec
from plant_assets.settings import Settings
from plant_assets.warehouse.open import open_warehouse
from plant_assets_tests.support.pages import RUNNING, WHOLE, figures

FIRST = dt.date(2026, 9, 21)
CHARTS = {"funnel", "dates", "products", "changes", "stockouts"}


def keep_to_the_schema(spec: Spec) -> None:
    alt.Chart.from_dict(spec)


def of_page(settings: Settings, found: Figures) -> dict[str, Spec]:
    return charts(found, settings.calendar)


def test_the_schema_is_of_the_version_that_draws(built_once: Settings) -> None:
    drawing = vl_convert.get_vegalite_versions()[-1]
    assert alt.SCHEMA_VERSION.startswith(f"v{drawing}.")
    for spec in of_page(built_once, figures(built_once, WHOLE)).values():
        assert spec["$schema"].endswith(f"/v{drawing.split('.')[0]}.json")


@pytest.mark.parametrize("week", [FIRST, WHOLE, RUNNING])
def test_a_pages_charts_keep_to_the_schema(week: dt.date, built_once: Settings) -> None:
    specs = of_page(built_once, figures(built_once, week))
    assert specs.keys() <= CHARTS
    if week == WHOLE:
        assert specs.keys() == CHARTS
    for spec in specs.values():
        keep_to_the_schema(spec)


def test_charts_of_fewer_stages_keep_to_the_schema(built_once: Settings) -> None:
    specs = of_page(built_once, dataclasses.replace(figures(built_once, WHOLE), stages=STAGES[:2]))
    assert specs.keys() == CHARTS - {"products"}
    for spec in specs.values():
        keep_to_the_schema(spec)


@pytest.mark.parametrize("name", [name for name, picture in PICTURES.items() if picture.chart])
def test_a_materializations_chart_keeps_to_the_schema(name: str, built_once: Settings) -> None:
    picture = PICTURES[name]
    statement = (picture.charted or picture.rows).replace("$week", f"date '{WHOLE}'")
    with open_warehouse(built_once) as warehouse:
        spec = picture.chart(warehouse.execute(statement).df(), warehouse.ledger.facts.stages())
    assert spec["data"]["values"]
    keep_to_the_schema(spec)


def test_a_misspelt_key_does_not_keep_to_it(built_once: Settings) -> None:
    spec = of_page(built_once, figures(built_once, WHOLE))["products"]
    spec["layer"][0]["encoding"]["x"]["axis"]["tickCuont"] = 5
    with pytest.raises(ValidationError, match="tickCuont"):
        keep_to_the_schema(spec)

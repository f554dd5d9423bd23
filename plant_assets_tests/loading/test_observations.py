"""Observations without a product, without optional tables beside them, and those that were accepted before."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from plant_assets.runs import Outcome
from plant_assets.settings import Settings, read_settings
from plant_assets_tests.tables import rows

AS_OF = dt.datetime(2021, 3, 3)
EVENT = (
    "event_id,session_id,user_id,page_url,created_at,event_type,order_id,product_id\n"
    "e1,s1,,,2021-03-02T12:00:00Z,page_view,,p1\n"
)
HEADER = "product_id,name,price,inventory\n"


def _store(tmp_path: Path, **observations: str) -> Settings:
    store = tmp_path / "store"
    (store / "products").mkdir(parents=True)
    (store / "events.csv").write_text(EVENT)
    for day, lines in observations.items():
        (store / "products" / f"{day.removeprefix('on_').replace('_', '-')}.csv").write_text(HEADER + lines)
    return read_settings(source=store, warehouse=tmp_path / "w" / "w.duckdb")


THREE = "p1,Fern,1,5\np2,Ivy,1,5\np3,Croton,1,5\n"


def test_a_store_without_orders_runs(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    outcome = refresh(_store(tmp_path, on_2021_03_01=THREE), as_of=AS_OF)
    assert not outcome.failures
    assert not outcome.failed_errors


def test_a_header_only_table_of_orders_runs(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    settings = _store(tmp_path, on_2021_03_01=THREE)
    (settings.source_path / "orders.csv").write_text("order_id,user_id,created_at,order_total,status\n")
    outcome = refresh(settings, as_of=AS_OF)
    assert not outcome.failures
    assert not outcome.failed_errors


def test_an_observation_without_a_product_is_kept_out_and_fails_its_check(
    tmp_path: Path, refresh: Callable[..., Outcome]
) -> None:
    settings = _store(tmp_path, on_2021_03_01=THREE, on_2021_03_02="")
    for _time in range(2):
        outcome = refresh(settings, as_of=AS_OF)
        assert not outcome.failures
        [failed] = outcome.failed_errors
        assert failed.startswith("raw_products_observations_are_whole, 1 times: 2021-03-02 00:00:00")
        assert "PLANT_MIN_PRODUCTS" in failed
        refused = rows(settings, "select file, reason, observed_at, rejected_at from rejected_rows")
        assert refused == [("products/2021-03-02.csv", "too_few_products", dt.datetime(2021, 3, 2), AS_OF)]


def test_a_real_clear_out_is_accepted_by_the_setting(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    settings = _store(tmp_path, on_2021_03_01=THREE, on_2021_03_02="")
    refresh(settings, as_of=AS_OF)
    outcome = refresh(settings.model_copy(update={"min_products": 0.0}), as_of=AS_OF)
    assert not outcome.failed_errors
    assert rows(settings, "select distinct valid_to from product_snapshots") == [(dt.datetime(2021, 3, 2),)]
    assert rows(settings, "select count(*) from rejected_rows") == [(0,)]


def test_what_was_accepted_is_not_judged_again(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    settings = _store(tmp_path, on_2021_03_01=THREE, on_2021_03_02=THREE)
    refresh(settings, as_of=AS_OF)
    changed = settings.source_path / "products" / "2021-03-02.csv"
    changed.write_text(HEADER + "p1,Fern,1,4\n")
    outcome = refresh(settings, as_of=AS_OF, every_week=True)
    assert not outcome.failed_errors
    found = rows(settings, "select product_id from raw_products where observed_at = timestamp '2021-03-02'")
    assert found == [("p1",)]


def test_a_name_that_is_lost_stays_the_last_known(tmp_path: Path, refresh: Callable[..., Outcome]) -> None:
    settings = _store(tmp_path, on_2021_03_01=THREE, on_2021_03_02=THREE.replace("Fern", ""))
    refresh(settings, as_of=AS_OF)
    assert rows(settings, "select product_name from int_events") == [("Fern",)]

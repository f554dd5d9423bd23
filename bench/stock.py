"""The graph as Dagster's tutorials lead to it: pandas assets and the DuckDBPandasIOManager.

`python -m bench.stock STORE WAREHOUSE`. It reads whole files, hands frames from asset to asset, and has no checks.
"""

import sys
from pathlib import Path

import dagster as dg
import pandas as pd
from dagster_duckdb_pandas import DuckDBPandasIOManager

STAGES = ["page_view", "add_to_cart", "checkout", "package_shipped"]
RATES = ["page_view_rate", "add_to_cart_rate", "purchase_rate", "shipping_rate"]


class Store(dg.ConfigurableResource):
    """A folder of parquet files."""

    path: str

    def read(self, table: str) -> pd.DataFrame:
        return pd.read_parquet(Path(self.path, table))


@dg.asset
def raw_events(store: Store) -> pd.DataFrame:
    events = store.read("events").drop_duplicates("event_id")
    return events.assign(created_at=pd.to_datetime(events["created_at"]).dt.tz_localize(None))


@dg.asset
def raw_order_items(store: Store) -> pd.DataFrame:
    return store.read("order_items").drop_duplicates(["order_id", "product_id"])


@dg.asset
def products(store: Store) -> pd.DataFrame:
    return store.read("products").drop_duplicates("product_id", keep="last")[["product_id", "name"]]


@dg.asset
def int_events(raw_events: pd.DataFrame, raw_order_items: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    items = raw_order_items[["order_id", "product_id"]].rename(columns={"product_id": "item_product_id"})
    events = raw_events.merge(items, on="order_id", how="left")
    events["product_id"] = events.pop("item_product_id").fillna(events["product_id"])
    events["event_date"] = events["created_at"].dt.normalize()
    events["session_step"] = events["event_type"].map({stage: step for step, stage in enumerate(STAGES, 1)})
    return events.merge(products.rename(columns={"name": "product_name"}), on="product_id", how="left")


@dg.asset
def funnel(int_events: pd.DataFrame) -> pd.DataFrame:
    return with_rates(int_events.groupby("event_type")["session_id"].nunique().to_frame().T.reset_index(drop=True))


@dg.asset
def funnel_by_date(int_events: pd.DataFrame) -> pd.DataFrame:
    sessions = int_events.groupby(["event_date", "event_type"])["session_id"].nunique()
    return with_rates(sessions.unstack(fill_value=0)).reset_index()


def with_rates(counts: pd.DataFrame) -> pd.DataFrame:
    """Whole percents in whole numbers: pandas rounds halves to even."""
    counts = counts.reindex(columns=STAGES, fill_value=0)
    page_views = counts["page_view"].where(counts["page_view"] > 0).astype("Int64")
    for stage, rate in zip(STAGES, RATES, strict=True):
        counts[rate] = (200 * counts[stage] + page_views) // (2 * page_views)
    return counts


if __name__ == "__main__":
    records = Path(sys.argv[2] + ".dagster")
    records.mkdir(exist_ok=True)
    done = dg.materialize(
        [raw_events, raw_order_items, products, int_events, funnel, funnel_by_date],
        resources={
            "store": Store(path=sys.argv[1]),
            "io_manager": DuckDBPandasIOManager(database=sys.argv[2], schema="main"),
        },
        instance=dg.DagsterInstance.local_temp(str(records), overrides={"telemetry": {"enabled": False}}),
    )
    sys.exit(0 if done.success else 1)

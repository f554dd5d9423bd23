"""The limit: one script by hand for the tables that the project stores: `python -m bench.limit STORE WAREHOUSE`.

It reads each file once, keeps ids as UUID after seeing that their text is not changed by that (those of products, which
are few, as text: they compress better), event types as an enumeration, and one mask of stages per session and date.
Keys are verified and duplicates removed, found by grouping ids. It has no other checks, no weeks and no account of
rows, and knows only the four stages; stock by week is left out.
"""

import sys
from pathlib import Path

import duckdb

FUNNEL = """
    count(*) filter (reached & 1 > 0) as page_view, count(*) filter (reached & 2 > 0) as add_to_cart,
    count(*) filter (reached & 4 > 0) as checkout, count(*) filter (reached & 8 > 0) as package_shipped,
    percent(page_view, page_view) as page_view_rate, percent(add_to_cart, page_view) as add_to_cart_rate,
    percent(checkout, page_view) as purchase_rate, percent(package_shipped, page_view) as shipping_rate
"""

KEYS = {
    "raw_events": "event_id",
    "raw_orders": "order_id",
    "raw_order_items": "order_id, product_id",
    "raw_products": "observed_at, product_id",
}

LOAD = """
set TimeZone = 'UTC';
set preserve_insertion_order = false;
create type stage as enum ('page_view', 'add_to_cart', 'checkout', 'package_shipped');
create macro exact(id) as if(id is null or id::uuid::varchar = id, id::uuid, error('no UUID: ' || id));
create macro there(value) as if(value is null, error('NULL where it must not be'), value);
create macro percent(part, whole) as ((200 * part + whole) // nullif(2 * whole, 0))::integer;
create macro files(kind) as getvariable('store') || '/' || kind || '/*.parquet';

create table raw_events as
select exact(there(event_id)) as event_id, exact(there(session_id)) as session_id, exact(user_id) as user_id, page_url,
    there(created_at)::timestamp as created_at, there(event_type)::stage as event_type,
    exact(order_id) as order_id, product_id
from read_parquet(files('events'));

create table raw_orders as
select exact(there(order_id)) as order_id, exact(user_id) as user_id, created_at::timestamp as created_at,
    order_total::decimal(18, 4) as order_total, status
from read_parquet(files('orders'));

create table raw_order_items as
select exact(there(order_id)) as order_id, there(product_id) as product_id, quantity
from read_parquet(files('order_items'));

create table raw_products as
select strptime(parse_filename(filename, true), '%Y-%m-%dT%H-%M-%SZ') as observed_at,
    there(product_id) as product_id, name, price::decimal(18, 4) as price, inventory
from read_parquet(files('products'), filename = true);
"""

MAKE = f"""
create table raw_observations as select observed_at, count(*) as products from raw_products group by observed_at;

create table product_snapshots as
with numbered as (
    select observed_at, row_number() over in_order as number, lead(observed_at) over in_order as next_at
    from raw_observations window in_order as (order by observed_at)),
beside as (
    select *, lag(observed_at) over of_product as changed_after,
        lag((number + 1, name, price, inventory)) over of_product is distinct from (number, name, price, inventory)
        as is_start
    from raw_products join numbered using (observed_at)
    window of_product as (partition by product_id order by observed_at)),
runs as (
    select *, sum(is_start::integer) over (partition by product_id order by observed_at) as run from beside)
select product_id, any_value(name) as name, any_value(price) as price, any_value(inventory) as inventory,
    min(observed_at) as valid_from, last(next_at order by observed_at) as valid_to, valid_to is null as is_current,
    first(changed_after order by observed_at) as changed_after
from runs group by product_id, run;

create table int_session_days as
select created_at::date as event_date, session_id, bit_or((1 << enum_code(event_type))::utinyint) as reached
from raw_events group by all;

create view names as
select product_id, arg_max(name, valid_from) as product_name from product_snapshots group by product_id;

create view int_events as
select event_id, session_id, user_id, created_at, created_at::date as event_date, event_type,
    enum_code(event_type) + 1 as session_step, order_id,
    coalesce(raw_order_items.product_id, raw_events.product_id) as product_id, product_name
from raw_events left join raw_order_items using (order_id)
left join names on names.product_id = coalesce(raw_order_items.product_id, raw_events.product_id);

create table funnel as
select {FUNNEL} from (select bit_or(reached) as reached from int_session_days group by session_id);

create table funnel_by_date as
select event_date, {FUNNEL} from int_session_days group by event_date;

create table funnel_by_product as
with of_products as (
    select session_id, event_type, product_id from raw_events where event_type <= 'add_to_cart'::stage
    union all
    select session_id, event_type, raw_order_items.product_id
    from raw_events left join raw_order_items using (order_id) where event_type > 'add_to_cart'::stage),
pairs as (
    select names.product_id, bit_or((1 << enum_code(event_type))::utinyint) as reached
    from of_products left join names using (product_id) group by session_id, names.product_id)
select coalesce(product_id, '(unknown)') as product_id, coalesce(any_value(product_name), '(unknown)')
    as product_name, {FUNNEL}
from pairs left join names using (product_id) group by product_id;
"""


def main(store: str, warehouse: str) -> None:
    """Make the warehouse anew."""
    Path(warehouse).unlink(missing_ok=True)
    with duckdb.connect(warehouse) as connection:
        connection.execute("set variable store = ?", [store])
        connection.execute(LOAD)
        for table, key in KEYS.items():
            remove_duplicates(connection, table, key)
        connection.execute(MAKE)


def remove_duplicates(connection: duckdb.DuckDBPyConnection, table: str, key: str) -> None:
    """Keep one row of each key; all rows are only looked at again where a key stands twice."""
    connection.execute(
        f"create or replace temp table twice as select {key} from {table} group by {key} having count(*) > 1"
    )
    if connection.execute("select count(*) from twice").fetchall() != [(0,)]:
        connection.execute(
            f"delete from {table} where rowid in (select unnest(array_agg(rowid order by {table})[2:])"
            f" from {table} semi join twice using ({key}) group by {key})"
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

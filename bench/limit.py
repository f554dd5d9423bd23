"""The limit: one script by hand for the tables that the project stores: `python -m bench.limit STORE WAREHOUSE`.

It reads each file once, keeps ids as UUID after seeing that their text is not changed by that (those of products, which
are few, as text: they compress better), event types as an enumeration, and one mask of stages per session and date.
Keys are verified and duplicates removed, found by grouping ids. It makes all marts, which are compared with the
project's row for row, but has no other checks, nothing from which a later run could go on, and no account of rows; it
knows only the four stages, and weeks in UTC.
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

create temp table pairs as
with of_products as (
    select session_id, created_at, event_type, product_id from raw_events where event_type <= 'add_to_cart'::stage
    union all
    select session_id, created_at, event_type, raw_order_items.product_id
    from raw_events left join raw_order_items using (order_id) where event_type > 'add_to_cart'::stage)
select date_trunc('week', created_at)::date as week_start_date, session_id, names.product_id,
    bit_or((1 << enum_code(event_type))::utinyint) as reached
from of_products left join names using (product_id) group by all;

create table funnel_by_product as
with of_all as (
    select session_id, product_id, bit_or(reached) as reached from pairs group by session_id, product_id)
select coalesce(product_id, '(unknown)') as product_id, coalesce(any_value(product_name), '(unknown)')
    as product_name, {FUNNEL}
from of_all left join names using (product_id) group by product_id;

create table funnel_by_product_week as
select week_start_date, coalesce(product_id, '(unknown)') as product_id,
    coalesce(any_value(product_name), '(unknown)') as product_name, {FUNNEL}
from pairs left join names using (product_id) group by week_start_date, product_id;

create table funnel_to_date as
with firsts as (
    select date_trunc('week', event_date)::date as week_start_date, session_id,
        min(event_date) filter (reached & 1 > 0) as page_view,
        min(event_date) filter (reached & 2 > 0) as add_to_cart,
        min(event_date) filter (reached & 4 > 0) as checkout,
        min(event_date) filter (reached & 8 > 0) as package_shipped
    from int_session_days group by all),
alike as (select * exclude (session_id), count(*) as sessions from firsts group by all),
reached as (unpivot alike on page_view, add_to_cart, checkout, package_shipped into name stage value event_date),
new as (
    select event_date, any_value(date_trunc('week', event_date)::date) as week_start_date,
        sum(sessions) filter (stage = 'page_view') as page_view,
        sum(sessions) filter (stage = 'add_to_cart') as add_to_cart,
        sum(sessions) filter (stage = 'checkout') as checkout,
        sum(sessions) filter (stage = 'package_shipped') as package_shipped
    from (from funnel_by_date select event_date) left join reached using (event_date) group by event_date),
to_date as (
    select event_date, week_start_date,
        (coalesce(sum(columns(* exclude (event_date, week_start_date))) over so_far, 0))::bigint
    from new window so_far as (partition by week_start_date order by event_date))
select *, percent(page_view, page_view) as page_view_rate, percent(add_to_cart, page_view) as add_to_cart_rate,
    percent(checkout, page_view) as purchase_rate, percent(package_shipped, page_view) as shipping_rate
from to_date;

create table funnel_by_week as
select * exclude (event_date) from funnel_to_date
qualify row_number() over (partition by week_start_date order by event_date desc) = 1;

create table funnel_steps as
with steps as (
    select unnest([
        {{'from_stage': 'page_view', 'to_stage': 'add_to_cart', 'sessions_from': page_view,
        'sessions_to': add_to_cart, 'points_lost': page_view_rate - add_to_cart_rate}},
        {{'from_stage': 'add_to_cart', 'to_stage': 'checkout', 'sessions_from': add_to_cart,
        'sessions_to': checkout, 'points_lost': add_to_cart_rate - purchase_rate}},
        {{'from_stage': 'checkout', 'to_stage': 'package_shipped', 'sessions_from': checkout,
        'sessions_to': package_shipped, 'points_lost': purchase_rate - shipping_rate}}], recursive := true),
        page_view
    from funnel),
rated as (
    select from_stage, to_stage, sessions_from, sessions_to, sessions_from - sessions_to as lost,
        sessions_to / nullif(sessions_from, 0) as step_rate, sessions_to / nullif(page_view, 0) as overall_rate,
        points_lost
    from steps)
select *, coalesce(lost = max(lost) over (), false) as is_largest_by_count,
    coalesce(step_rate = min(step_rate) over (), false) as is_largest_by_rate
from rated;
"""

STOCK = """
create table weeks as
select unnest(generate_series(date_trunc('week', min(created_at)), max(created_at), interval 7 days)) as starts_at,
    starts_at::date as week_start_date, starts_at + interval 7 days as ends_at
from raw_events;

create temp table touching as
select * exclude (name), name as version_name, valid_to is null or valid_to > starts_at as is_held,
    valid_to is null or valid_to >= ends_at as is_at_end, epoch(least(ends_at, coalesce(valid_to, last_at)))::bigint
    - epoch(greatest(starts_at, valid_from))::bigint as seconds
from weeks cross join (select max(observed_at) as last_at from raw_observations)
join product_snapshots on valid_from < ends_at and coalesce(valid_to, 'infinity') >= starts_at
where starts_at <= last_at;

create temp table changes as
select product_id, valid_from as changed_at, inventory - lag(inventory) over of_product as delta
from product_snapshots where inventory is not null
window of_product as (partition by product_id order by valid_from) qualify delta <> 0;

create macro flow_in(deltas) as sum(greatest(deltas, 0))::bigint;
create macro flow_out(deltas) as sum(greatest(-deltas, 0))::bigint;

create table inventory as
with stock as (
    select week_start_date, product_id,
        arg_max(version_name, valid_from) filter (version_name is not null) as product_name,
        max(inventory) filter (valid_from < starts_at) as opening_inventory,
        max(inventory) filter (is_at_end) as closing_inventory, min(inventory) filter (is_held) as min_inventory,
        max(inventory) filter (is_held) as max_inventory,
        coalesce(sum(seconds) filter (inventory <= 0), 0) / 3600 as hours_out_of_stock,
        bool_or(last_at >= ends_at) as is_complete
    from touching group by week_start_date, product_id having bool_or(is_held)),
flows as (
    select date_trunc('week', changed_at)::date as week_start_date, product_id, flow_in(delta) as inflow,
        flow_out(delta) as outflow, count(*) as changes
    from changes group by all)
select week_start_date, product_id, product_name, opening_inventory, closing_inventory, min_inventory, max_inventory,
    coalesce(inflow, 0) as inflow, coalesce(outflow, 0) as outflow, coalesce(changes, 0) as changes,
    hours_out_of_stock, is_complete
from stock left join flows using (week_start_date, product_id);

create table inventory_changes as
with presence as (
    select week_start_date, product_id, starts_at, bool_or(is_at_end) as is_present,
        arg_max(version_name, valid_from) filter (version_name is not null) as last_name,
        max(inventory) filter (valid_to = starts_at) as left_with
    from touching group by all),
seen as (select product_id, min(valid_from) as first_seen_at from product_snapshots group by product_id),
both_weeks as (
    select week_start_date, product_id, first_seen_at >= starts_at as is_new, is_present,
        if(is_complete is null, last_name, product_name) as product_name,
        if(is_complete is null, left_with, opening_inventory) as previous_inventory,
        if(is_present, closing_inventory, null) as inventory
    from presence join seen using (product_id) left join inventory using (week_start_date, product_id))
select week_start_date, product_id, product_name, previous_inventory, inventory,
    inventory - previous_inventory as change,
    case when is_new then 'new' when not is_present then 'gone' when inventory is null then 'unknown'
    when previous_inventory is null then 'back' when previous_inventory > 0 and inventory <= 0 then 'sold_out'
    when previous_inventory <= 0 and inventory > 0 then 'restocked' when inventory > previous_inventory then 'up'
    when inventory < previous_inventory then 'down' else 'same' end as state
from both_weeks;

create table inventory_fluctuations as
with in_turn as (
    select product_id, delta, sign(delta) <> sign(lag(delta) over of_product) as is_reversal
    from changes window of_product as (partition by product_id order by changed_at)),
moved as (
    select product_id, count(*) as changes, flow_in(delta) as inflow, flow_out(delta) as outflow,
        count(*) filter (is_reversal) as reversals
    from in_turn group by product_id),
measured as (
    select product_id, product_name, coalesce(changes, 0) as changes, coalesce(inflow, 0) as inflow,
        coalesce(outflow, 0) as outflow, max(inventory) - min(inventory) as range, coalesce(reversals, 0) as reversals
    from product_snapshots left join moved using (product_id) left join names using (product_id) group by all)
select dense_rank() over (order by changes desc) as rank, product_id, product_name, changes,
    inflow + outflow as volume, inflow, outflow, range, reversals,
    dense_rank() over (order by inflow + outflow desc) as volume_rank
from measured;

create table stockouts as
with beside as (
    select *, lag(valid_to) over of_product is not distinct from valid_from and lag(inventory) over of_product <= 0
        as goes_on, lead(valid_from) over of_product as next_from, lead(inventory) over of_product as next_inventory
    from product_snapshots window of_product as (partition by product_id order by valid_from)),
numbered as (
    select *, count(*) filter (goes_on is not true) over (partition by product_id order by valid_from) as episode
    from beside where inventory <= 0),
episodes as (
    select product_id, min(valid_from) as out_of_stock_at, max(valid_to) as ended_at,
        bool_or(is_current) as is_ongoing, min(inventory) as min_inventory,
        max(next_from) filter (next_from = valid_to and next_inventory > 0) as restocked_at,
        max(next_inventory) filter (next_from = valid_to and next_inventory > 0) as restock_quantity
    from numbered group by product_id, episode)
select product_id, product_name, out_of_stock_at, restocked_at,
    (epoch(if(is_ongoing, (select max(observed_at) from raw_observations), ended_at))::bigint
    - epoch(out_of_stock_at)::bigint) / 3600 as hours_out, is_ongoing, min_inventory, restock_quantity
from episodes left join names using (product_id);
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
        connection.execute(STOCK)


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

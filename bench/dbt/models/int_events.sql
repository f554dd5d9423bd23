{{ config(
    materialized='incremental' if var('incremental') else 'table',
    incremental_strategy='delete+insert' if var('careful') else 'append',
    unique_key='event_id' if var('careful') else none,
) }}
with events as (
    select * from {{ ref('stg_events') }}
    {% if is_incremental() %}
    where created_at > (select max(created_at) from {{ this }}){{ lookback() }}
    {% endif %}
)
select
    events.event_id,
    events.session_id,
    events.user_id,
    events.created_at,
    events.created_at::date as event_date,
    events.event_type,
    case events.event_type
        when 'page_view' then 1 when 'add_to_cart' then 2 when 'checkout' then 3 when 'package_shipped' then 4
    end as session_step,
    events.order_id,
    coalesce(items.product_id, events.product_id) as product_id,
    products.product_name
from events
left join {{ ref('stg_order_items') }} as items on items.order_id = events.order_id
left join {{ ref('products') }} as products on products.product_id = coalesce(items.product_id, events.product_id)

{{ config(
    materialized='incremental' if var('incremental') else 'table',
    incremental_strategy='delete+insert' if var('careful') else 'append',
    unique_key='event_id' if var('careful') else none,
) }}
select
    event_id::varchar as event_id,
    session_id::varchar as session_id,
    user_id::varchar as user_id,
    page_url,
    created_at::timestamp as created_at,
    event_type,
    order_id::varchar as order_id,
    product_id::varchar as product_id
from {{ source('store', 'events') }}
{% if is_incremental() %}
where created_at::timestamp > (select max(created_at) from {{ this }}){{ lookback() }}
{% endif %}
{% if var('careful') %}
qualify row_number() over (partition by event_id order by created_at) = 1
{% endif %}

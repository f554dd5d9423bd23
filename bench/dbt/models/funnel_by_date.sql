{{ config(
    materialized='incremental' if var('incremental') else 'table',
    incremental_strategy='delete+insert',
    unique_key='event_date',
) }}
select event_date, {{ funnel() }}
from {{ ref('int_events') }}
{% if is_incremental() %}
where event_date >= (select max(event_date) from {{ this }}){{ lookback() }}
{% endif %}
group by event_date

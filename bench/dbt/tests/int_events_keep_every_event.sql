select event_id from {{ ref('stg_events') }} anti join {{ ref('int_events') }} using (event_id)

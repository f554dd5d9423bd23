{{ config(severity='warn') }}
select max(created_at) from {{ ref('stg_events') }} having max(created_at) < now()::timestamp - interval 12 hour

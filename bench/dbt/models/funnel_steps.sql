with stages as (
    unpivot (select page_view, add_to_cart, checkout, package_shipped from {{ ref('funnel') }})
    on page_view, add_to_cart, checkout, package_shipped into name stage value sessions
),
steps as (
    select
        stage as from_stage,
        lead(stage) over in_order as to_stage,
        sessions as sessions_from,
        lead(sessions) over in_order as sessions_to
    from (select *, list_position(['page_view', 'add_to_cart', 'checkout', 'package_shipped'], stage) as step from stages)
    window in_order as (order by step)
)
select *, sessions_from - sessions_to as lost, sessions_to / sessions_from as step_rate
from steps
where to_stage is not null

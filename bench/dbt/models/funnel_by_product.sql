select
    coalesce(products.product_id, '(unknown)') as product_id,
    coalesce(products.product_name, '(unknown)') as product_name,
    {{ funnel('(session_id, coalesce(products.product_id, \'(unknown)\'))') }}
from {{ ref('int_events') }} as events
left join {{ ref('products') }} as products on products.product_id = events.product_id
where session_step is not null
group by 1, 2

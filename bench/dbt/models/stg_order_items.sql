select order_id::varchar as order_id, product_id::varchar as product_id, quantity
from {{ source('store', 'order_items') }}
{% if var('careful') %}
qualify row_number() over (partition by order_id, product_id order by quantity) = 1
{% endif %}

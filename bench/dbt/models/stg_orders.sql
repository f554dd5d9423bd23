select order_id::varchar as order_id, user_id::varchar as user_id, created_at::timestamp as created_at, order_total, status
from {{ source('store', 'orders') }}
{% if var('careful') %}
qualify row_number() over (partition by order_id order by created_at) = 1
{% endif %}

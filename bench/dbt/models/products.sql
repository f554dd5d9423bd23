-- The last known name of each product; a file's name is the instant at which it was seen.
select product_id::varchar as product_id, arg_max(name, parse_filename(filename)) as product_name
from {{ source('store', 'products') }}
group by 1

select count(*) from {{ ref('funnel') }} having count(*) <> 1

select {{ funnel() }}
from {{ ref('int_events') }}

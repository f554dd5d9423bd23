{% macro funnel(unit='session_id') %}
    {%- for stage in ['page_view', 'add_to_cart', 'checkout', 'package_shipped'] %}
    count(distinct {{ unit }}) filter (where event_type = '{{ stage }}') as {{ stage }},
    {%- endfor %}
    {%- for stage, rate in [
        ('page_view', 'page_view_rate'),
        ('add_to_cart', 'add_to_cart_rate'),
        ('checkout', 'purchase_rate'),
        ('package_shipped', 'shipping_rate'),
    ] %}
    ((200 * {{ stage }} + page_view) // nullif(2 * page_view, 0))::integer as {{ rate }}{{ ',' if not loop.last }}
    {%- endfor %}
{% endmacro %}

{# What a careful user adds to a watermark: events arrive late. #}
{% macro lookback() %}{{ " - interval 7 day" if var('careful') }}{% endmacro %}

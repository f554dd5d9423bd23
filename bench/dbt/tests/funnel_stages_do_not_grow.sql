{{ config(severity='warn') }}
select * from {{ ref('funnel') }}
where add_to_cart > page_view or checkout > add_to_cart or package_shipped > checkout

select event_date from {{ ref('funnel_by_date') }} as dates cross join {{ ref('funnel') }} as whole
where dates.page_view > whole.page_view or dates.add_to_cart > whole.add_to_cart
    or dates.checkout > whole.checkout or dates.package_shipped > whole.package_shipped

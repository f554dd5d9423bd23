"""The made-up store as SQL: sessions, orders and stock. `store.py` writes it, a file per table and day."""

# draw(purpose, number) is uniform on [0, 1): 53 bits of an MD5 hash.
MODEL = """
create macro draw(purpose, number) as
    (md5_number_lower(concat(getvariable('seed'), purpose, number)) >> 11)::double / 9007199254740992;
create macro id_of(kind, number) as md5(concat(getvariable('seed'), kind, number))::uuid::varchar;
create macro is_sold(product, moment) as
    (product <> getvariable('products') - 2 or moment >= getvariable('new_at'))
    and (product <> getvariable('products') - 1 or moment < getvariable('leaves_at'));
-- Dead products are looked at by few, and then by most others: the hit. The last two are new, or leave.
create macro is_dead(product) as product % 10 = 6 and product < getvariable('products') - 2;
create macro hit() as getvariable('products') // 4 + if(getvariable('products') // 4 % 10 = 6, 1, 0);
create macro growth(day) as 0.85 + 0.30 * least(day, 84) / 84;
create macro price_of(product, moment) as ((9 + floor(draw('price', product) * 60) + 0.5 * (product % 2))
    * (1 + 0.05 * floor(4 * draw('discount', concat(product, '/',
        floor((date_diff('day', getvariable('start')::timestamp, moment) + 5 * product) / 28)::bigint))))
    )::decimal(18, 2);

-- The weight of a day: more at the end of the week, growth over 12 weeks, a campaign in the seventh. The first 84
-- days have the mean of a million, so that the rate is that of 12 weeks. Whole numbers add up alike in any order.
create macro weight_of(day) as
    [0.90, 0.85, 0.90, 0.95, 1.00, 1.15, 1.25][isodow(getvariable('start')::timestamp + to_days(day::integer))]
    * growth(day) * if(day between 42 and 48, 1.6, 1);
create table days as
with weighed as (
    select range as day, round(weight_of(range) * 84e6 / (select sum(weight_of(range)) from range(84)))::bigint
        as weight from range(getvariable('days')::bigint))
select day, weight, (sum(weight) over (order by day) - weight)::bigint as before from weighed;

-- Sessions arrive evenly, with a jitter, then by the days' weights, and more by day than by night:
-- f + f (1 - f) (1 - 2 f).
create table sessions as
with drawn as (
    select range as session, 1e6 * (range + draw('arrival', range)) / getvariable('per_day') as weighed
    from range((select ceil(getvariable('per_day') * sum(weight) / 1e6) from days)::bigint)),
arrivals as (
    select session, day + least((weighed - before) / weight, 0.9999999) as x
    from drawn asof join days on weighed >= before),
timed as (
    select session, getvariable('start')::timestamp + to_seconds(
        floor(86400 * (floor(x) + (x - floor(x)) * (1 + (1 - (x - floor(x))) * (1 - 2 * (x - floor(x)))))))
        as started_at,
        draw('kind', session) as kind, draw('depth', session) as depth
    from arrivals)
select session, started_at, kind >= 0.78 as buys, kind >= 0.60 as fills_cart,
    if(kind < 0.35, 1, 2 + floor(depth * 5))::bigint as views,
    20 + floor(draw('pace', session) * draw('leisure', session) * 500)::bigint as pace,
    floor(draw('user', session) * getvariable('users'))::bigint as buyer
from timed where started_at < getvariable('until');

create table viewed as
with looks as (select *, unnest(range(views)) as look from sessions),
picked as (
    select *, draw('pick', concat(session, '/', look)) as u,
        floor(getvariable('products') * (0.5 * u + 0.5 * u * u))::bigint as first_pick,
        if(is_dead(first_pick) and draw('dead', concat(session, '/', look)) >= 0.03, hit(), first_pick) as pick
    from looks)
select session, look, fills_cart, buys, started_at + to_seconds(look * pace) as viewed_at,
    if(is_sold(pick, started_at), pick, pick * 7 % (getvariable('products') - 2)) as product,
    look <= floor(draw('cart', session) * least(views, 3)) as is_wanted
from picked;

-- Demand, unit by unit, against what is delivered.
create table wanted as
select session, product, ordered_at, sum(quantity)::bigint as quantity from (
    select v.session, product, s.started_at + to_seconds(s.views * s.pace + 45) as ordered_at,
        1 + floor(draw('quantity', concat(v.session, '/', look)) * 2.3)::bigint as quantity
    from viewed v join sessions s using (session) where v.buys and is_wanted)
where is_sold(product, ordered_at)
group by all;

create table supply as
with picked as (
    select range as product, getvariable('products') as n,
        (sqrt(1 + 8 * (range + 1) / n) - sqrt(1 + 8 * range / n)) / 2 as share
    from range(getvariable('products')::bigint)),
shelf as (
    select product, 7 + floor(draw('interval', product) * 8)::bigint as days,
        getvariable('per_day') * 0.22 * 1.8 * 1.65 * case when is_dead(product) then 0.03 * share
            when product = hit() then share + 0.97 * (select coalesce(sum(share), 0) from picked where is_dead(product))
            else share end as per_day
    from picked),
deliveries as (
    select product, getvariable('start')::timestamp + to_days((number * days + product % days)::integer)
        + interval 8 hour as moment, greatest(3, round(per_day * growth(number * days) * days * (0.80 + 0.5
        * draw('delivery', concat(product, '/', number)))))::bigint as units
    from (select *, unnest(range(1, 2 + (date_diff('day', getvariable('start')::timestamp,
        getvariable('until')::timestamp) // days)::bigint)) as number from shelf))
select product, if(product = getvariable('products') - 2, getvariable('new_at'), getvariable('start'))::timestamp
    as moment, greatest(5, round(per_day * days * 1.1))::bigint as units from shelf
union all
select * from deliveries where is_sold(product, moment) and moment <= getvariable('until')
    and moment > getvariable('start')::timestamp;

create table stock as
with moves as (
    select product, moment, units as delta, null::bigint as session, 0 as unit from supply
    union all
    select product, ordered_at, -1, session, unnest(range(quantity)) + 1 from wanted),
summed as (
    select *, sum(delta) over in_order as x from moves
    window in_order as (partition by product order by moment, session nulls first, unit)),
lowest as (
    select *, least(0, min(x) over (partition by product order by moment, session nulls first, unit)) as low
    from summed)
select product, moment, session, unit, (x - low)::bigint as units, session is not null
    and low < coalesce(lag(low) over (partition by product order by moment, session nulls first, unit), 0) as is_lost
from lowest;

create table items as
select session, product, any_value(moment) as ordered_at, count(*) as quantity
from stock where session is not null and not is_lost group by session, product;
create table purchases as
select session, any_value(ordered_at) as ordered_at, sum(quantity * price_of(product, ordered_at)) as total
from items group by session;

create table events as
select session, viewed_at as moment, 'page_view' as event_type, product, look as number from viewed
union all
select session, viewed_at + interval 15 second, 'add_to_cart', product, look from viewed
where fills_cart and is_wanted
union all
select session, ordered_at, 'checkout', null, 0 from purchases
union all
select session, ordered_at + to_seconds(3600 + floor(draw('shipping', session) * draw('carrier', session) * 144000)
    ::bigint), 'package_shipped', null, 0 from purchases where draw('is_shipped', session) < 0.93;
"""
DAILY = {
    "events": """
        select id_of('event', concat(event_type, session, '/', number)) as event_id,
            id_of('session', session) as session_id, id_of('user', buyer) as user_id,
            'https://plants.example/' || case event_type when 'page_view' then 'plants/' || product
                when 'add_to_cart' then 'cart' when 'checkout' then 'checkout' else 'shipping' end as page_url,
            moment as created_at, event_type,
            if(product is null, id_of('order', session), null) as order_id,
            if(product is null, null, id_of('product', product)) as product_id
        from events join (select session, buyer from sessions) using (session)
        where moment >= $1 and moment < $2 order by moment, event_id""",
    "orders": """
        select id_of('order', session) as order_id, id_of('user', buyer) as user_id,
            ordered_at as created_at, total as order_total, 'paid' as status
        from purchases join sessions using (session)
        where ordered_at >= $1 and ordered_at < $2 order by ordered_at, order_id""",
    "order_items": """
        select id_of('order', session) as order_id, id_of('product', product) as product_id,
            unnest(if(quantity > 1 and draw('lines', concat(session, '/', product)) < 0.05,
                [quantity - 1, 1], [quantity])) as quantity
        from items where ordered_at >= $1 and ordered_at < $2
        order by ordered_at, order_id, product_id, quantity desc""",
}
OBSERVED = """
    select id_of('product', product) as product_id,
        getvariable('names')[1 + (7 * product + 3) % len(getvariable('names'))]
            || if(product < len(getvariable('names')), '', ' ' || (1 + product // len(getvariable('names')))) as name,
        price_of(product, $1::timestamp) as price,
        arg_max(units, (moment, session is not null, session, unit)) as inventory
    from stock where moment <= $1 and is_sold(product, $1::timestamp) group by product order by product"""

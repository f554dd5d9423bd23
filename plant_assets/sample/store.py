"""A store made up by the project: house plants, sessions of all shapes, and orders that agree with stock.

The store is a function of its start, seed, rate and number of products; its end only cuts it off. So a folder that
is extended holds the rows of one written at once. Random draws are MD5 of what they are for, never of the clock.
Rows are made by the engine; stock is simulated there too: lost demand is the reflection of cumulated demand at
zero (Skorokhod's map: stock = x - min(0, running minimum of x), x = supply less demand).
"""

import datetime as dt
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from plant_assets.atomic import write_atomically
from plant_assets.calendar import FIRST_MONDAY, is_known
from plant_assets.settings import UsageError
from plant_assets.sql import literal

MANIFEST = "sample.json"
RATE_WEEKS = 12
OBSERVED_EVERY = dt.timedelta(hours=6)
DAY = dt.timedelta(days=1)
FORMATS = ("csv", "parquet")
# Options of the command, with the least and the most: MD5 and dates go further, no disk does.
ALLOWED = {"sessions": (1, 10**9), "weeks": (1, 5_000), "products": (3, 10**6), "seed": (-(10**15), 10**15)}
INSTANT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
NEW_ON_DAY, LEAVES_ON_DAY = 30, 50
PLANTS = (
    "Aloe Vera", "Anthurium", "Areca Palm", "Baby Rubber Plant", "Begonia Rex", "Boston Fern", "Calathea",
    "Cast Iron Plant", "Chinese Evergreen", "Croton", "Dracaena", "Dumb Cane", "English Ivy", "Fiddle Leaf Fig",
    "Jade Plant", "Kentia Palm", "Lucky Bamboo", "Maidenhair Fern", "Money Tree", "Nerve Plant", "Parlor Palm",
    "Peace Lily", "Polka Dot Plant", "Prayer Plant", "Rubber Tree", "Snake Plant", "Spider Plant",
    "Swiss Cheese Plant", "Umbrella Tree", "Wax Plant",
)  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """What a sample folder remembers: enough to go on with it."""

    start: str
    end: str
    seed: int
    sessions: int
    products: int
    format: str


def write(
    directory: Path,
    end: dt.datetime,
    sessions: int = 5_000,
    weeks: int = 12,
    products: int = 30,
    seed: int = 1,
    format: str = "csv",
    on_day: Callable[[dt.date], None] | None = None,
) -> Manifest:
    """Write a sample store that ends at `end`, or extend the one that is there to that instant.

    `sessions` is the rate, per 12 weeks. What the folder remembers wins over the other arguments.

    Raises:
        UsageError: an argument is out of range, or the folder holds something else.
    """
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is a file: give an empty folder")
    known = read_manifest(directory)
    if known is None:
        if directory.exists() and any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty and holds no sample store: give an empty folder")
        given = {"sessions": sessions, "weeks": weeks, "products": products, "seed": seed}
        for name, (least, most) in ALLOWED.items():
            if not least <= given[name] <= most:
                raise UsageError(f"--{name} {given[name]} is not allowed: from {least} to {most}")
        if format not in FORMATS:
            raise UsageError(f"--format {format} is not allowed: one of {', '.join(FORMATS)}")
        midnight = dt.datetime.combine(end.date(), dt.time())
        start = midnight - dt.timedelta(weeks=weeks) + (DAY if end > midnight else dt.timedelta())
        if not is_known(start.date()):
            raise UsageError(f"--weeks {weeks} is not allowed: the store would begin before {FIRST_MONDAY}")
        known = Manifest(start.isoformat(), start.isoformat(), seed, sessions, products, format)
    if end <= dt.datetime.fromisoformat(known.end):
        return known
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = Manifest(**{**asdict(known), "end": end.isoformat()})
    _write_days(directory, known, wanted, on_day or (lambda day: None))
    write_atomically(directory / MANIFEST, json.dumps(asdict(wanted), indent=2))
    return wanted


def read_manifest(directory: Path) -> Manifest | None:
    """What the folder remembers; None where it is no sample store."""
    try:
        return Manifest(**json.loads((directory / MANIFEST).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{directory / MANIFEST} is not readable as a sample's manifest: {error}") from None


def extend(directory: Path, end: dt.datetime) -> None:
    """Bring the default sample store to an instant, writing it first where there is none."""
    write(directory, end.replace(microsecond=0))


def _write_days(directory: Path, known: Manifest, wanted: Manifest, on_day: Callable[[dt.date], None]) -> None:
    start, end = (dt.datetime.fromisoformat(text) for text in (wanted.start, wanted.end))
    written_to = dt.datetime.fromisoformat(known.end)
    with duckdb.connect(config={"temp_directory": str(directory / ".tmp")}) as connection:
        _simulate(connection, wanted, start, end)
        day = dt.datetime.combine(written_to.date(), dt.time())
        while day < end:
            bounds = [day, min(day + DAY, end)]
            for table, body in _DAILY.items():
                path = directory / table / f"{day:%Y-%m-%d}.{wanted.format}"
                _copy(connection, body, bounds, path, wanted.format)
            on_day(day.date())
            day += DAY
        at = start
        while at <= end:
            if at > written_to or known.start == known.end:
                path = directory / "products" / f"{at:%Y-%m-%dT%H-%M-%SZ}.{wanted.format}"
                _copy(connection, _OBSERVED, [at], path, wanted.format)
            at += OBSERVED_EVERY


def _copy(
    connection: duckdb.DuckDBPyConnection, body: str, parameters: list[dt.datetime], path: Path, format: str
) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_name("." + path.name + ".new")
    options = f"format csv, header, timestampformat '{INSTANT_FORMAT}'" if format == "csv" else "format parquet"
    connection.execute(f"copy ({body}) to {literal(str(fresh))} ({options})", parameters)
    fresh.chmod(0o600)
    os.replace(fresh, path)


def _simulate(connection: duckdb.DuckDBPyConnection, wanted: Manifest, start: dt.datetime, end: dt.datetime) -> None:
    """Make the tables that the daily files are cut from."""
    per_day = wanted.sessions / (RATE_WEEKS * 7)
    connection.execute("set TimeZone = 'UTC'")
    for name, value in {
        "seed": wanted.seed,
        "products": wanted.products,
        "per_day": per_day,
        "users": max(1, wanted.sessions // 3),
        "start": start,
        "until": end,
        "new_at": start + NEW_ON_DAY * DAY,
        "leaves_at": start + LEAVES_ON_DAY * DAY,
        "arrivals": int((end - start) / DAY * per_day) + 1,
        "names": list(PLANTS),
    }.items():
        connection.execute(f"set variable {name} = ?", [value])
    connection.execute(_MODEL)


# draw(purpose, number) is uniform on [0, 1): 53 bits of an MD5.
_MODEL = """
create macro draw(purpose, number) as
    (md5_number_lower(concat(getvariable('seed'), purpose, number)) >> 11)::double / 9007199254740992;
create macro id_of(kind, number) as md5(concat(getvariable('seed'), kind, number))::uuid::varchar;
create macro is_sold(product, moment) as
    (product <> getvariable('products') - 2 or moment >= getvariable('new_at'))
    and (product <> getvariable('products') - 1 or moment < getvariable('leaves_at'));
create macro price_of(product, moment) as ((9 + floor(draw('price', product) * 60) + 0.5 * (product % 2))
    * (1 + 0.05 * floor(4 * draw('discount', concat(product, '/',
        floor((date_diff('day', getvariable('start')::timestamp, moment) + 5 * product) / 28)::bigint))))
    )::decimal(18, 2);

-- Sessions arrive evenly, with a jitter, then more by day than by night: f + f (1 - f) (1 - 2 f).
create table sessions as
with arrivals as (
    select range as session, (range + draw('arrival', range)) / getvariable('per_day') as x
    from range(getvariable('arrivals')::bigint)),
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
        floor(getvariable('products') * (0.5 * u + 0.5 * u * u))::bigint as pick from looks)
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
with shelf as (
    select range as product, getvariable('products') as n,
        getvariable('per_day') * 0.22 * 1.8 * 1.65
            * (sqrt(1 + 8 * (range + 1) / n) - sqrt(1 + 8 * range / n)) / 2 as per_day,
        7 + floor(draw('interval', range) * 8)::bigint as days
    from range(getvariable('products')::bigint)),
deliveries as (
    select product, getvariable('start')::timestamp + to_days((number * days + product % days)::integer)
        + interval 8 hour as moment, greatest(3, round(per_day * days * (0.80 + 0.5
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

_DAILY = {
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
        select id_of('order', session) as order_id, id_of('product', product) as product_id, quantity
        from items where ordered_at >= $1 and ordered_at < $2 order by ordered_at, order_id, product_id""",
}

_OBSERVED = """
    select id_of('product', product) as product_id,
        getvariable('names')[1 + product % len(getvariable('names'))]
            || if(product < len(getvariable('names')), '', ' ' || (1 + product // len(getvariable('names')))) as name,
        price_of(product, $1::timestamp) as price,
        arg_max(units, (moment, session is not null, session, unit)) as inventory
    from stock where moment <= $1 and is_sold(product, $1::timestamp) group by product order by product"""

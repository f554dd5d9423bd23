"""SQL that types the rows of a source: values, instants, weeks, stages and ids, and why a row is rejected.

Each source brings its own statement that reads the rows. Names of columns and files reach SQL only quoted.
"""

import contextlib
import datetime as dt
import functools
import itertools
import re
from collections.abc import Iterator, Sequence

import duckdb

from plant_assets.calendar import Calendar
from plant_assets.contracts import COUNT, FLAG, INSTANT, PRICE, STAGES, TABLES, TEXT
from plant_assets.sources import instants
from plant_assets.sources.errors import NotUuids
from plant_assets.sources.instants import EPOCHS
from plant_assets.sources.mapping import NULL_WORDS, Stage, Time
from plant_assets.sources.tables import HISTORY, OBSERVED_AT, ReadTable
from plant_assets.sql import literal


def insert_typed(
    table: ReadTable,
    types: dict[str, str],
    select: str,
    raw_text: str,
    calendar: Calendar,
    prefix: str,
    notes_words: bool = False,
) -> str:
    """Return the statement that types the rows of `select`, and gives each invalid row its reason.

    Args:
        table: the table as the store has it.
        types: the engine's type of each column of `select`.
        select: the statement that reads the rows untyped.
        raw_text: the SQL expression of a row's text as it was read.
        calendar: the store's weeks.
        prefix: the start of the engine's file names, which is cut off.
        notes_words: whether to note the words that are taken for no value, with their columns: no load needs them.
    """
    # dbt writes instants in its own warehouse's form: the mapping's form is that of the store.
    typed, problems, texts, reads, numbers, times, unit, number = [], [], "", "", "", "", "", "null"
    time = Time() if table.name == HISTORY else table.mapping.time
    for name, kind in table.columns.items():
        form, no_value = table.mapping.id_form(name), table.no_value(name)
        parts = [_id_in_form(_text(types[part], part, no_value), form) for part in table.parts.get(name, (name,))]
        text = " || chr(31) || ".join(parts)
        texts += f", {table.number(name, text) if kind in (PRICE, COUNT) else text} as text_{name}"
        if kind == INSTANT:
            reads += f", {instants.read_text(types[name], name)} as read_{name}"
            numbers += f", {instants.read_number(name)} as number_{name}"
            if name == "created_at" and not time.format:
                unit = f", {instants.unit_of(name)} as epoch_unit"
                number = f"if(number_{name} is null, null, text_{name})"
        if kind == INSTANT and time == Time() and name != OBSERVED_AT:
            times += f", {_instant(name)} as instant_{name}"
        elif kind == INSTANT:
            times += f", {_clock(types[name], name, time)}"
        if name == OBSERVED_AT:
            times += f", {_day(name, time)} as clock_day, false as is_utc_day"
            at = ", ".join((_instant_of_clock("day", calendar), _instant_of_clock(name, Calendar(time.zone))))
            typed.append(f"date_trunc('second', coalesce({at})) as typed_{name}")
        elif kind == INSTANT and time != Time():
            typed.append(f"{_instant_of_clock(name, Calendar(time.zone))} as typed_{name}")
        elif name == "event_type" and table.mapping.event_types is not None:
            typed.append(f"{_stage(f'text_{name}', table.mapping.event_types)} as typed_{name}")
        else:
            typed.append(f"{_typed(kind, types.get(name, 'VARCHAR'), name)} as typed_{name}")
        if kind != TEXT:
            given = name if types.get(name, "").startswith(("TIMESTAMP", "DATE")) else f"text_{name}"
            is_wrong = f"{given} is not null and typed_{name} is null"
            problems.append((is_wrong, name, _NOT_A[kind]))
        if name in table.table.required:
            problems.append((f"typed_{name} is null", name, "missing"))
    made = {"event_id": _content_id(table)} if table.name == "events" and table.mapping.makes_event_ids else {}
    problems = [each for each in problems if each[1] not in made]
    loaded = {name: made.get(name, f"typed_{name}") for name in table.columns}
    values = ", ".join(
        f"{_as_uuid(name, value) if name in table.uuids else value} as {name}" for name, value in loaded.items()
    )
    columns = " ".join(f"when {is_wrong} then '{name}'" for is_wrong, name, _reason in problems)
    reasons = " ".join(f"when {is_wrong} then '{reason}'" for is_wrong, _name, reason in problems)
    given = " ".join(
        f"when '{name}' then {_given(table.parts.get(name, (name,)), types, raw_text)}"
        for name in dict.fromkeys(name for _is_wrong, name, _reason in problems)
    )
    week = _week_of(calendar, "typed_created_at") if table.name == "events" else "null"
    is_dated = OBSERVED_AT in TABLES[table.table.target].names
    observed_at = "" if OBSERVED_AT in table.columns else f" {'staged_at' if is_dated else 'null'} as observed_at,"
    key, paths = f"typed_{table.table.key[-1]}", "join staged_paths on filename = staged_path" if is_dated else ""
    return (
        f"insert into {table.table.staged} by name select {values},{observed_at}"
        f" {week} as week, substr(filename, {len(prefix) + 1}) as file, line, column_name, reason,"
        f" if(reason is null, null, {key}) as row_key,"
        f" if(reason is null and line is null, null, {raw_text}) as raw_text,"
        # A number that is read as an instant by itself may be rejected later, for others in its file.
        f" case when refused is not null then raw_text when reason is null then {number} else case column_name {given}"
        f" end end as found_text{unit}{_words(table, types) if notes_words else ''} from ("
        f"select *, case when refused is not null then null {columns} end as column_name,"
        f" case when refused is not null then refused {reasons} end as reason from ("
        f"select *, {', '.join(typed)} from (select *{times} from (select *{numbers} from"
        # A level for each, as the engine evaluates a column of the same level again at each use.
        f" (select *{reads} from (select *{texts} from ({select}) {paths}))))))"
    )


@functools.cache
def _week_of(calendar: Calendar, instant: str) -> str:
    """Return the SQL of the Monday of an instant's week, with a case per offset of the zone."""
    changes = calendar.offsets(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1))
    from_instants = [until for until, _offset in changes[:-1]]
    cases = [
        f"when {instant} >= timestamp '{at}' then {instant} + to_seconds({int(offset.total_seconds())})"
        for at, (_until, offset) in zip(from_instants, changes[1:], strict=True)
    ]
    offset = int(changes[0][1].total_seconds())
    first = f"{instant} + to_seconds({offset})" if offset else instant
    local = f"case {' '.join(reversed(cases))} else {first} end" if cases else first
    return f"date_trunc('week', ({local})::date)::date"


@functools.cache
def _instant_of_clock(name: str, calendar: Calendar) -> str:
    """Return the SQL of a local time's UTC instant, over the `clock_` and `is_utc_` columns of a column.

    If a change of clocks repeats an hour, its first pass counts. A skipped hour is read with the offset before it.
    """
    changes = calendar.offsets(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1))
    clock, cases = f"clock_{name}", []
    for (until, before), (_until, offset) in itertools.pairwise(changes):
        assert until
        cases.append(f"when {clock} >= timestamp '{until + max(before, offset)}' then {_minus(clock, offset)}")
    first = _minus(clock, changes[0][1])
    instant = f"case when is_utc_{name} then {clock} {' '.join(reversed(cases))} else {first} end"
    # One day inside the bounds of stored instants, so that any offset stays within them.
    return f"if({clock} between timestamp '1970-01-02' and timestamp '9999-12-30', {instant}, null)"


def _minus(clock: str, offset: dt.timedelta) -> str:
    return f"{clock} - to_seconds({int(offset.total_seconds())})"


# The engine's error for a valid row whose id is not a UUID.
_NO_UUID = "not written as a UUID is: "


@contextlib.contextmanager
def require_uuids() -> Iterator[None]:
    """Raise an exception of ours if a statement of `insert_typed` in the body meets an id that is no UUID.

    Raises:
        NotUuids: a column is staged as UUID, and not all of its ids are.
    """
    try:
        yield
    except duckdb.Error as error:
        # A full match: other messages may quote names of files.
        found = re.fullmatch(f"Invalid Input Error: {_NO_UUID}([a-z_]+)", str(error).strip())
        if found:
            raise NotUuids(found[1]) from error
        raise


def _as_uuid(name: str, text: str) -> str:
    """Return the SQL of an id as UUID; it raises an error if the id of a valid row is not one."""
    uuid = f"try_cast({text} as uuid)"
    # The comparison comes first: the reason costs more, and is evaluated only if the comparison fails.
    return f"if({uuid}::varchar = {text} or reason is not null, {uuid}, error('{_NO_UUID}{name}'))"


def _content_id(table: ReadTable) -> str:
    """Return the SQL of an id for events without one: a hash of their values, equal for equal events."""
    held = ", ".join(f"typed_{name}::varchar" for name in table.columns if name != "event_id")
    return f"md5(to_json([{held}])::varchar)"


# Text with an offset or a zone after its time.
_WITH_OFFSET = r":[0-9]{2}([.][0-9]+)?\s*([A-Za-z]|[+-][0-9]).*$"


def _clock(source_type: str, name: str, time: Time) -> str:
    """Return the SQL of two columns: `clock_`, a value's time as written, and `is_utc_`, whether that is UTC."""
    text = f"text_{name}"
    clock = f"coalesce(read_{name}, {instants.of_number(name)})"
    is_utc = f"(read_{name} is null or regexp_matches({text}, '{_WITH_OFFSET}'))"
    if source_type in instants.WITH_ZONE:
        clock, is_utc = f"read_{name}", "true"
    elif source_type.startswith(("TIMESTAMP", "DATE")):
        clock, is_utc = f"read_{name}", "false"
    elif time.format in EPOCHS:
        clock, is_utc = instants.of_unit(name, time.format), "true"
    elif time.format:
        clock, is_utc = instants.of_format(text, time.format)
    return f"{clock} as clock_{name}, {is_utc} as is_utc_{name}"


def _day(name: str, time: Time) -> str:
    """Return the SQL of the local time at which a value that is a date begins; NULL where it also has a time."""
    text, is_date = f"text_{name}", r"\d{4}-\d\d-\d\d"
    day = f"if(regexp_full_match(text_{name}, '{is_date}'), try_cast({text} as timestamp), null)"
    of_date = re.split("[ T,]*%[HIMSpfXzZ]", time.format or "")[0]
    if of_date in ("", *EPOCHS) or "%c" in of_date:
        return day
    has_no_time = f"regexp_full_match({text}, '[^:]*')"
    return f"coalesce({day}, if({has_no_time}, try_strptime({text}, {literal(of_date)}), null))"


def _stage(text: str, stages: dict[str, Stage]) -> str:
    """Return the SQL of the stage of a store's event type; a type without one stays, and never has a stage's name."""
    cases = " ".join(f"when {literal(theirs)} then '{stage}'" for theirs, stage in stages.items())
    others = " ".join(f"when '{stage}' then 'other {stage}'" for stage in STAGES if stage not in stages)
    return f"case {text} {cases} {others} else {text} end"


_NOT_A = {INSTANT: "not a timestamp", COUNT: "not a whole number", PRICE: "not a number", FLAG: "not true or false"}


def _given(parts: Sequence[str], types: dict[str, str], raw_text: str) -> str:
    """Return the SQL of a value as it was given; instants that the engine cannot hold are only in the row's text."""
    if types[parts[0]].startswith(("TIMESTAMP", "DATE")) and len(parts) == 1:
        return f"json_extract_string({raw_text}, '$.{parts[0]}')"
    shown = (f"coalesce({part}::varchar, '')" for part in parts)
    return f"{parts[0]}::varchar" if len(parts) == 1 else f"concat_ws(', ', {', '.join(shown)})"


def _id_in_form(text: str, form: str | None) -> str:
    """Return the SQL of an id in the form that makes ids one which differ in it only."""
    if form == "integer":
        return f"regexp_replace({text}, '^0*([0-9]+)([.]0*)?$', '\\1')"
    return f"lower({text})" if form == "lower" else text


def _words(table: ReadTable, types: dict[str, str]) -> str:
    """Return the SQL of a row's words that are taken for no value, each after its column and a space."""
    words = ", ".join(
        f"if({part}::varchar in ({', '.join(map(literal, table.no_value(name)))}), '{name} ' || {part}::varchar, null)"
        for name in table.columns
        if table.no_value(name)
        for part in table.parts.get(name, (name,))
        if table.mapping.nulls or not types[part].startswith(_WORDLESS)
    )
    return f", nullif(concat_ws(chr(31), {words}), '') as words" if words else ""


# Types of which no value is one of our words.
_WORDLESS = ("UUID", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "TIMESTAMP", "DATE", "BOOLEAN")


def _text(source_type: str, name: str, no_value: Sequence[str]) -> str:
    """Return the SQL of a value as text; NULL where it is empty, or one of the words that stand for no value."""
    text = name if source_type == "VARCHAR" else f"{name}::varchar"
    if source_type.startswith(_WORDLESS):
        no_value = [word for word in no_value if word not in NULL_WORDS]
    if not no_value:
        return f"nullif({text}, '')"
    longest = max(len(word.encode()) for word in no_value)
    # The length comes first: it costs a fraction of the comparisons, and few values are as short as a word. Of `in`,
    # `or` and list_contains the engine makes a join, through which every row goes.
    is_word = f"{text} = '' or regexp_full_match({text}, {literal('|'.join(map(re.escape, no_value)))})"
    return f"case when strlen({text}) > {longest} then {text} when {is_word} then null else {text} end"


def _instant(name: str) -> str:
    """Return the SQL of an instant that has the form of ours, or is a number if it is an event's."""
    if name == "created_at":
        return f"coalesce(read_{name}, {instants.of_number(name)})"
    # Some adapters write dbt's open end as the last possible instant, or as infinity.
    return f"least(read_{name}, timestamp '9999-12-31')" if name == "dbt_valid_to" else f"read_{name}"


def _typed(kind: str, source_type: str, name: str) -> str:
    """Return the SQL of a value in the contract's type, NULL if it cannot be read. Instants are from 1970 to 9999."""
    text = f"text_{name}"
    if kind == TEXT:
        return text
    if kind == FLAG:
        return f"try_cast({text} as boolean)"
    if kind == PRICE:
        return f"try_cast({text} as decimal(18, 4))"
    if kind == COUNT:
        is_whole = f"regexp_full_match({text}, '\\s*[+-]?[0-9]+([.]0*)?\\s*')"
        return f"if({is_whole}, try_cast({text} as bigint), null)"
    instant = f"instant_{name}"
    # Writers of no instant write 0, the first instant of 1970.
    is_known = f"{instant} > timestamp '1970-01-01' and {instant} <= timestamp '9999-12-31'"
    return f"if({is_known}, {instant}, null)"

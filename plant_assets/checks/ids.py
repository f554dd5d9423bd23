"""Ids that hardly join: under 5 % of those of one table are in another, as if the two wrote them in different forms.

`doctor` says the same of a source before it is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass

import ibis
from ibis import _

from plant_assets.checks.base import Check, Scope, keys
from plant_assets.sources.mapping_file import mapping_of

# At least one id in so many has to be in the other table.
ONE_IN = 20
# So many ids are tried in other forms.
TRIED = 1000
_FORMS: dict[str, Callable[[ibis.Value], ibis.Value]] = {
    "integer": lambda ids: ids.re_replace("^0*([0-9]+)([.]0*)?$", r"\1"),
    "lower": lambda ids: ids.lower(),
}


@dataclass(frozen=True)
class Join:
    """A column of ids of one source table by which it names rows of another.

    `is_narrowed` says that a run over some weeks looks for the rows that their events name.
    """

    column: str
    table: str
    other: str
    is_narrowed: bool = False

    @property
    def noun(self) -> str:
        """What the ids are of, in the plural."""
        return self.column.removesuffix("_id") + "s"


JOINS = (
    Join("product_id", "events", "products"),
    Join("order_id", "events", "order_items", is_narrowed=True),
    Join("order_id", "events", "orders", is_narrowed=True),
    Join("product_id", "order_items", "products"),
    Join("order_id", "order_items", "orders"),
)


def distinct_ids(rows: ibis.Table, column: str) -> ibis.Table:
    """Return the ids of a column as text, each once. One row per id: id."""
    return rows.filter(rows[column].notnull()).select(id=rows[column].cast("string")).distinct()


def few_join(ids: ibis.Table, others: ibis.Table, has_others: ibis.Table) -> ibis.Table:
    """Return the number of distinct ids and of those among others, if the latter is under one in `ONE_IN`.

    Args:
        ids: the distinct ids of one table.
        others: the ids of the other, or those of them that may be among `ids`.
        has_others: the ids of the other; without any, no row is returned.

    Returns:
        One row at most: total, joined.
    """
    total, joined = ids.aggregate(total=_.count()), ids.semi_join(others, "id").aggregate(joined=_.count())
    facts = total.cross_join(joined).cross_join(has_others.limit(1).aggregate(others=_.count()))
    return facts.filter((_.others > 0) & (_.joined * ONE_IN < _.total)).select("total", "joined")


def explain_few(join: Join, ids: ibis.Table, others: ibis.Table) -> ibis.Table:
    """Return what `few_join` finds as a sentence, which shows both sides and the `ids` of a mapping that help.

    One row at most: key.
    """
    unknown = ids.anti_join(others, "id")
    least = unknown.aggregate(ours=_.id.min()).cross_join(others.aggregate(theirs=_.id.min()))
    few = few_join(ids, others, others).cross_join(least)
    for form in _FORMS:
        few = few.cross_join(_in_form(form, ids.order_by("id").limit(TRIED), others))
    says = _sentence(join, few, few.ours, few.theirs, ", and no `ids` of PLANT_MAPPING makes them one")
    for form in reversed(_FORMS):
        helps = f": `ids: {{{join.column}: {form}}}` in PLANT_MAPPING makes them one"
        said = _sentence(join, few, few[f"{form}_ours"], few[f"{form}_theirs"], helps)
        says = ibis.ifelse(few[form] * ONE_IN >= ibis.least(few.total, TRIED), said, says)
    return few.select(key=says)


def _in_form(form: str, ids: ibis.Table, others: ibis.Table) -> ibis.Table:
    """Return how many ids are among others only in a form, and the least of them with the other. One row."""
    read = _FORMS[form]
    alike = others.group_by(in_form=read(others.id)).aggregate(theirs=_.id.min())
    both = ids.mutate(in_form=read(ids.id)).inner_join(alike, "in_form").filter(_.id != _.theirs)
    return both.aggregate(
        **{form: _.count(), f"{form}_ours": _.id.min(), f"{form}_theirs": _.theirs.argmin(_.id)},
    )


def _sentence(join: Join, few: ibis.Table, ours: ibis.Value, theirs: ibis.Value, end: str) -> ibis.Value:
    unknown, total = (few.total - few.joined).cast("string"), few.total.cast("string")
    are_not = f" {join.noun} of {join.table} are not in {join.other}: {join.table} have "
    return unknown.concat(" of ", total, are_not, ours, f", {join.other} have ", theirs, end)


def _check(join: Join) -> Check:
    def sides(scope: Scope) -> tuple[ibis.Table, ibis.Table]:
        return scope.table(f"raw_{join.table}"), scope.whole(f"raw_{join.other}")

    def offending(scope: Scope) -> ibis.Table:
        rows, others = sides(scope)
        # A store that has no such table by its mapping has nothing to join.
        others = others.filter(ibis.literal(bool(mapping_of(scope.settings).table(join.other))))
        named = scope.of_events(others) if join.is_narrowed else others
        ids = [each.select(id=each[join.column].cast("string")) for each in (named, others)]
        return keys(few_join(distinct_ids(rows, join.column), *ids), "total", "joined")

    def evidence(scope: Scope) -> ibis.Table:
        return explain_few(join, *(distinct_ids(each, join.column) for each in sides(scope)))

    return Check(
        f"raw_{join.table}",
        f"{join.noun}_join_{join.other}",
        f"At least one in {ONE_IN} of the {join.noun} is in {join.other}: both write their ids in one form.",
        offending,
        reads=(f"raw_{join.other}",),
        is_error=False,
        is_blocking=False,
        evidence=evidence,
    )


CHECKS = tuple(map(_check, JOINS))

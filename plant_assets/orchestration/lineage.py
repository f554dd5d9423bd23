"""Column lineage, read from the expression of an asset."""

from functools import cache

import dagster as dg
import ibis
from ibis.expr import operations as ops

Source = tuple[str, str]


def column_lineage(name: str, data: ibis.Table) -> dg.TableColumnLineage:
    """Return the columns of other assets whose values each column of the asset `name` uses.

    Columns that only filter or order rows do not count, nor do those of the asset itself.
    """

    @cache
    def sources(relation: ops.Relation, column: str) -> frozenset[Source]:
        if isinstance(relation, ops.UnboundTable):
            return frozenset({(relation.name, column)})
        if isinstance(relation, ops.Set):
            return sources(relation.left, column) | sources(relation.right, column)
        if isinstance(relation, ops.Reference):
            return sources(relation.parent, column)
        found: frozenset[Source] = frozenset()
        for field in relation.values[column].find(ops.Field, filter=ops.Value):
            found |= sources(field.rel, field.name)
        return found

    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(asset_key=table, column_name=source)
                for table, source in sorted(sources(data.op(), column))
                if table != name
            ]
            for column in data.columns
        }
    )

"""Prints the lists of names by which `doctor` guesses, as docs/exports.md shows them."""

from plant_assets.doctor import names


def names_section() -> str:
    """Return the lists as tables of Markdown."""
    parts = [_table("table", names.TABLES), _table("event type", names.STAGES)]
    parts += [_table(f"column of {name}", columns) for name, columns in names.COLUMNS.items()]
    return "\n".join([*parts, _table("place, to sum over", {"any": names.PLACES})])


def _table(title: str, known: dict[str, str]) -> str:
    rows = [f"| `{ours}` | {', '.join(theirs.split())} |" for ours, theirs in known.items()]
    return "\n".join([f"| {title} | known by |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    print(names_section(), end="")

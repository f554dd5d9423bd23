"""What is wrong with a store's data, or with how it is described."""


class SourceError(Exception):
    """The source, or a table of it, cannot be read; the message names path, table and what was expected.

    What a file's name or header holds is shown so that the message stays one printable line.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(each if each.isprintable() else ascii(each)[1:-1] for each in message))


class NotUuids(Exception):
    """A column of ids is staged as UUID, and not all of them are: the table can be staged again with text."""

    def __init__(self, column: str) -> None:
        super().__init__(f"not all of {column} are UUIDs")
        self.column = column

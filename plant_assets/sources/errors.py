"""The error of a store's data, or of the mapping that describes it."""


class SourceError(Exception):
    """The source or one of its tables cannot be read. The message names path, table and what was expected.

    Control characters of file names and headers are escaped, so that the message is one printable line.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(each if each.isprintable() else ascii(each)[1:-1] for each in message))


class NotUuids(Exception):
    """A column of ids is staged as UUID, and not all of them are: the table can be staged again with text."""

    def __init__(self, column: str) -> None:
        super().__init__(f"not all of {column} are UUIDs")
        self.column = column

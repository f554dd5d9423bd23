"""The error of a store's data, or of the mapping that describes it."""


class SourceError(Exception):
    """The source or one of its tables cannot be read. The message names path, table and what was expected.

    Control characters of file names and headers are escaped, so that the message is one printable line.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(each if each.isprintable() else ascii(each)[1:-1] for each in message))

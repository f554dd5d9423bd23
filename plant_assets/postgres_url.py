"""A PostgreSQL URL as libpq reads it: validated before libpq quotes it, and shown without secrets."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote, unquote

SCHEMES = ("postgresql", "postgres")
ALLOWED = "postgresql://user:password@host:port/database"
SECRET = ("password", "sslpassword")
# Parameters that replace parts of the URL.
_PLACES = ("host", "hostaddr", "port", "dbname", "service")
_SEARCH_PATH = re.compile(r"(?:^|\s)(?:-c\s*|--)search_path=((?:\\.|[^\s\\])*)")


@dataclass(frozen=True)
class PostgresUrl:
    """The URL of a database.

    Raises:
        ValueError: libpq would reject the URL, or take a part of the password for something else.
    """

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        scheme, found, rest = self.text.partition("://")
        if not found or scheme not in SCHEMES:
            raise ValueError(f"a URL like {ALLOWED}")
        if rest.count("@") > 1 or "@" in rest.removeprefix(self._authority) or "#" in rest:
            raise ValueError("in user and password, write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A")
        if re.search("%(?![0-9A-Fa-f]{2})|%00", self.text) or not self.text.isprintable() or " " in self.text:
            raise ValueError("write % as %25, unless two hexadecimal digits follow, and a space as %20")
        for host in self._hosts.split(","):
            if not re.fullmatch(r"(\[[0-9A-Fa-f:.%]*\]|[^:]*)(:[0-9]*)?", host):
                raise ValueError(f"a URL like {ALLOWED}, its port a number")
        if any(not name or not equals for name, equals, _value in self._given):
            raise ValueError(f"parameters after a question mark like {ALLOWED}?sslmode=require&connect_timeout=5")

    @property
    def _rest(self) -> str:
        return self.text.partition("://")[2]

    @property
    def _authority(self) -> str:
        return re.split("[/?]", self._rest, maxsplit=1)[0]

    @property
    def _hosts(self) -> str:
        return self._authority.rpartition("@")[2]

    @property
    def _database(self) -> str:
        return self._rest.partition("?")[0].partition("/")[2]

    @property
    def _given(self) -> list[tuple[str, str, str]]:
        query = self._rest.partition("?")[2]
        return [each.partition("=") for each in query.split("&")] if query else []

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The parameters after the question mark, decoded."""
        return {name: unquote(value) for name, _equals, value in self._given}

    @property
    def store(self) -> str:
        """The identity of the store: its server, database and schemas, without user and password."""
        hosts = ",".join(re.sub(":(5432)?$", "", host.lower()) for host in self._hosts.split(","))
        places = {name: self.parameters[name] for name in _PLACES if name in self.parameters}
        schemas = _SEARCH_PATH.findall(self.parameters.get("options", ""))
        if schemas:
            places["search_path"] = re.sub(r"\\(.)", r"\1", schemas[-1])
        named = "&".join(f"{name}={quote(value, safe=',/$')}" for name, value in places.items())
        return f"postgresql://{hosts}/{self._database}" + (f"?{named}" if named else "")

    @property
    def shown(self) -> str:
        """The URL for messages: with the user, without the password and parameters of the connection."""
        user = self._authority.rpartition("@")[0].partition(":")[0] or self.parameters.get("user", "")
        return self.store.replace("://", f"://{user}@", 1) if user else self.store

    @property
    def secrets(self) -> set[str]:
        """The secrets that no message may contain, as written and decoded."""
        written = self._authority.rpartition("@")[0].partition(":")[2]
        found = {written, unquote(written), *(self.parameters.get(name, "") for name in SECRET)}
        return {each for each in found if each and each not in self.shown}

    def with_defaults(self, **defaults: object) -> str:
        """Return the URL with those of the parameters that it does not set itself."""
        missing = [f"{name}={value}" for name, value in defaults.items() if name not in self.parameters]
        return self.text + ("&" if "?" in self.text else "?") * bool(missing) + "&".join(missing)

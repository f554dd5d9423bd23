"""A real PostgreSQL for the tests: a cluster of its own on loopback, gone with them, and databases in it."""

import contextlib
import csv
import datetime as dt
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

from plant_assets.sample import store as sample

OLDEST = 15
USER, PASSWORD = "owner", "owner-of-plants"


def binaries() -> Path | None:
    """Where the newest server's programs are; None where none is new enough."""
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    versions = sorted((int(path.parts[-3]), path.parent) for path in installed if path.parts[-3].isdigit())
    if versions and versions[-1][0] >= OLDEST:
        return versions[-1][1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A fresh cluster, without regard for a crash of the machine; the URL of its database `postgres`."""
    programs, folder = binaries(), Path(tempfile.mkdtemp(prefix="plant-postgres-"))
    assert programs, "no PostgreSQL is on this machine"
    # The server refuses to run as root.
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    secret, data = folder / "password", folder / "data"
    secret.write_text(PASSWORD)
    if account:
        for path in (folder, secret):
            os.chown(path, account.pw_uid, account.pw_gid)

    def call(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs / program, "--pgdata", data, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=[] if account else None,
        )
        log = folder / "log"
        assert done.returncode == 0, (done.stdout, log.read_text() if log.exists() else "")

    try:
        call(
            "initdb",
            *("--no-sync", "--locale=C.UTF-8", "--encoding=UTF8", f"--username={USER}"),
            *("--auth=scram-sha-256", f"--pwfile={secret}"),
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",
            "timezone": "Asia/Tokyo",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        call("pg_ctl", "start", "--wait", "--log", str(folder / "log"), "--options", options)
        try:
            yield f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "stop", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def database(server_url: str, like: str = "template1") -> Iterator[str]:
    """A new database of a server, empty or a copy of another, dropped afterwards; its URL."""
    name = f"plants_{uuid.uuid4().hex}"
    execute(server_url, f"create database {name} template {like}")
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        execute(server_url, f"drop database {name} with (force)")


def execute(url: str, statement: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    """Execute statements and commit; the rows of the last, if it gives any."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


# A store's tables with the types that a shop's database has.
STORE = """
    create table events (
        event_id text, session_id text, user_id text, page_url text, created_at timestamptz, event_type text,
        order_id text, product_id text);
    create index on events (created_at);
    create table products (product_id text, name text, price numeric, inventory integer);
    create table order_items (order_id text, product_id text, quantity integer);
    create table orders (order_id text, user_id text, created_at timestamptz, order_total numeric, status text);
"""


def fill(url: str, table: str, *files: Path, known: Mapping[Path, int] | None = None) -> None:
    """Add the rows of csv files to a table, by the names in their headers; of those `known`, what is after a size."""
    connection = psycopg2.connect(url)
    try:
        # Text without an offset is UTC's, as it is in files.
        with connection, connection.cursor() as cursor:
            cursor.execute("set local TimeZone = 'UTC'")
            for path in files:
                with path.open("rb") as stream:
                    header = stream.readline().decode().strip()
                    stream.seek(max(stream.tell(), (known or {}).get(path, 0)))
                    cursor.copy_expert(f"copy {table} ({header}) from stdin (format csv)", stream)
    finally:
        connection.close()


def fill_history(url: str, folder: Path) -> None:
    """Let dbt's history be the only table of products: of a sample store's files, each valid until the next one."""
    paths = sorted((folder / "products").iterdir())
    instants = [dt.datetime.strptime(path.stem, "%Y-%m-%dT%H-%M-%SZ") for path in paths]
    rows = []
    for path, at, until in itertools.zip_longest(paths, instants, instants[1:]):
        with path.open() as stream:
            rows += [
                (row["product_id"], row["name"], row["price"], row["inventory"], at, until)
                for row in csv.DictReader(stream)
            ]
    execute(
        url,
        "drop table if exists products, products_snapshot; create table products_snapshot (product_id text, name text,"
        " price numeric, inventory integer, dbt_valid_from timestamp, dbt_valid_to timestamp);"
        " insert into products_snapshot values " + ", ".join(["%s"] * len(rows)),
        rows,
    )


def extend(url: str, folder: Path, at: dt.datetime) -> None:
    """Let the sample store in a folder go on to an instant, and its events, orders and items in a database too."""
    known = {path: path.stat().st_size for path in folder.rglob("*.csv")}
    sample.write(folder, at)
    for table in ("events", "orders", "order_items"):
        fill(url, table, *sorted((folder / table).iterdir()), known=known)


def fill_all(url: str, folder: Path) -> None:
    """Make the tables of a store, with the rows of a sample store's files, and the products of its last observation."""
    execute(url, STORE)
    for table in ("events", "orders", "order_items"):
        fill(url, table, *sorted((folder / table).iterdir()))
    fill(url, "products", max((folder / "products").iterdir()))

"""`doctor --write-mapping`: what is guessed of exports as shops write them, and that a run reads it."""

import json
from pathlib import Path

import pytest

from plant_assets.doctor.guess import guess, time_format
from plant_assets.doctor.write import write_mapping
from plant_assets.settings import UsageError
from plant_assets.sources.base import Sample
from plant_assets.sources.errors import SourceError
from plant_assets_tests.support.small_stores import AS_OF, Store, new_store

GERMAN = {
    "klicks.csv": """klick_id;sitzung;kunde;seite;zeitpunkt;ereignis;bestellnummer;artikelnummer
k1;s1;u1;/größe;01.02.2024 13:05;SEITENAUFRUF;;a1
k2;s1;u1;/größe;01.02.2024 13:06;WARENKORB;;a1
k3;s1;u1;/kasse;01.02.2024 13:07;BESTELLUNG;b1;
k4;s1;u1;/kasse;13.02.2024 09:00;VERSAND;b1;
""",
    "artikel.csv": "artikelnummer;bezeichnung;preis;bestand\na1;Grünlilie;29,90;5\na2;Efeu;1.299,00;0\n",
    "positionen.csv": "bestellnummer;artikelnummer;menge\nb1;a1;2\n",
    "bestellungen.csv": "bestellnummer;kunde;bestelldatum;summe;status\nb1;u1;01.02.2024 13:07;59,80;versandt\n",
}
SHOPIFY = {
    "inventory_export_1.csv": """Handle,Title,SKU,Location,Available,On hand
fern,Fern,F-1,Shop,3,3
fern,Fern,F-1,Warehouse,5,5
fern,Fern,F-1,Stall,not stocked,not stocked
""",
    "customer_events.csv": """id,clientId,name,timestamp,url,sku,orderId
e1,c1,product_viewed,2024-05-01T09:00:00.000Z,https://plants.example/fern,F-1,
e2,c1,product_added_to_cart,2024-05-01T09:01:00.000Z,https://plants.example/fern,F-1,
e3,c1,checkout_completed,2024-05-01T09:02:00.000Z,https://plants.example/thanks,F-1,o1
""",
}
SEGMENT = {
    "track.jsonl": "".join(
        json.dumps(
            {
                "messageId": f"m{number}",
                "anonymousId": "a1",
                "type": "track",
                "event": name,
                "timestamp": f"2024-05-06T09:0{number}:00.000Z",
                "context": {"sessionId": "s1", "page": {"url": "/x", "path": "/x"}},
                "properties": {"product_id": "p1", "price": 4.5, "order_id": None},
            }
        )
        + "\n"
        for number, name in enumerate(["Product Viewed", "Product Added", "Order Completed"])
    )
}
RETAIL_ROCKET = {
    "events.csv": """timestamp,visitorid,event,itemid,transactionid
1433221332117,257597,view,355908,
1433221392117,257597,addtocart,355908,
1433221452117,257597,transaction,355908,4000
"""
}
SNAPSHOTS = {
    "events.csv": RETAIL_ROCKET["events.csv"],
    "inventory_snapshots.csv": "snapshot_date,sku_id,sku,on_hand_units\n2015-06-01,1,355908,3\n2015-06-02,1,355908,2\n",
    "products.csv": "sku,product_name,unit_price\n355908,Fern,9.50\n",
}


def shop(tmp_path: Path, files: dict[str, str], encoding: str = "utf-8") -> Store:
    """A store of these files, mapped as it is guessed."""
    (tmp_path / "source").mkdir()
    store = new_store(tmp_path)
    for name, text in files.items():
        store.put(name, text.encode(encoding))
    settings = write_mapping(store.settings, tmp_path / "mapping.yaml", AS_OF)
    return store.under(mapping=settings.mapping)


@pytest.mark.parametrize(
    ("files", "encoding", "types"),
    [
        (GERMAN, "cp1252", {"page_view", "add_to_cart", "checkout", "package_shipped"}),
        (SHOPIFY, "utf-8", {"page_view", "add_to_cart", "checkout"}),
        (SEGMENT, "utf-8", {"page_view", "add_to_cart", "checkout"}),
        (RETAIL_ROCKET, "utf-8", {"page_view", "add_to_cart", "checkout"}),
        (SNAPSHOTS, "utf-8", {"page_view", "add_to_cart", "checkout"}),
    ],
    ids=["German", "Shopify", "Segment", "RetailRocket", "snapshots"],
)
def test_a_shop_is_read_by_what_is_guessed(
    tmp_path: Path, files: dict[str, str], encoding: str, types: set[str]
) -> None:
    store = shop(tmp_path, files, encoding)
    store.load(AS_OF.replace(year=2024, month=6))
    assert {name for (name,) in store.rows("select distinct event_type from raw_events")} == types
    assert store.rows("select count(*) from rejected_rows") == [(0,)]


def test_a_german_shop_has_its_numbers(tmp_path: Path) -> None:
    store = shop(tmp_path, GERMAN, "cp1252")
    store.load(AS_OF.replace(year=2024, month=6))
    found = store.rows("select product_id, name, price::double, inventory from raw_products order by 1")
    assert found == [("a1", "Grünlilie", 29.9, 5), ("a2", "Efeu", 1299.0, 0)]
    assert store.rows("select order_total::double, status from raw_orders") == [(59.8, "versandt")]
    assert store.rows("select min(page_url) from raw_events") == [("/größe",)]


def test_an_export_by_location_is_summed_and_its_words_are_no_value(tmp_path: Path) -> None:
    store = shop(tmp_path, SHOPIFY)
    store.load(AS_OF.replace(year=2024, month=6))
    assert store.rows("select product_id, name, inventory from raw_products") == [("F-1", "Fern", 8)]


def test_snapshots_beside_products_are_stock(tmp_path: Path) -> None:
    store = shop(tmp_path, SNAPSHOTS)
    store.load(AS_OF.replace(year=2024, month=6))
    assert store.rows("select name, inventory from raw_products order by observed_at") == [("Fern", 3), ("Fern", 2)]


def test_each_line_says_why_and_the_zone_is_to_be_checked(tmp_path: Path) -> None:
    store = shop(tmp_path, GERMAN, "cp1252").under(timezone="Europe/Berlin")
    assert store.settings.mapping
    lines = store.settings.mapping.read_text().splitlines()
    assert [line for line in lines if "#" not in line and not line.endswith(":")] == []
    assert [line for line in lines if line.startswith("  zone: UTC  # check")]
    with pytest.raises(UsageError, match=r"mapping\.yaml exists already: name another file"):
        write_mapping(store.settings, store.settings.mapping, AS_OF)


def test_a_source_without_events_is_refused_with_its_tables(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    store = new_store(tmp_path)
    store.put("list.csv", "a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"no table looks like events, .*; tables found: list \(a, b\); write"):
        write_mapping(store.settings, tmp_path / "mapping.yaml", AS_OF)
    assert not (tmp_path / "mapping.yaml").exists()


def test_sessions_that_users_number_are_told_by_both() -> None:
    rows = [
        {"ga_session_id": "1", "user_pseudo_id": user, "event_timestamp": "1433221332117000", "event_name": "view_item"}
        for user in ("a", "b")
    ]
    found = {each.path[1:]: each.value for each in guess([Sample("ga4", tuple(rows[0]), rows)], "UTC")}
    assert found["events", "session_id"] == ["user_pseudo_id", "ga_session_id"]
    assert found["view_item",] == "page_view"


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        (["2024-02-01 13:05:00 UTC", "1433221332117"], None),
        (["01.02.2024 13:05"], "%d.%m.%Y %H:%M"),
        (["01/02/2024 13:05", "13/02/2024 13:05"], "%d/%m/%Y %H:%M"),
        (["02/13/2024 13:05"], "%m/%d/%Y %H:%M"),
    ],
)
def test_the_form_of_instants_is_told(values: list[str], pattern: str | None) -> None:
    assert time_format(values)[0] == pattern

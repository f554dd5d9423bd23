"""Product versions: what begins one, what ends one, and that order of arrival does not matter."""

from decimal import Decimal

import pytest

from plant_assets.transforms.snapshots import product_snapshots
from plant_assets_tests.support.engines import ENGINE, Row, picked, table
from plant_assets_tests.support.odd_rows import ABSENT, Seen, observed

SNAPSHOTS = product_snapshots(table("raw_products"), table("raw_observations"))

FIRST, SECOND, THIRD, FOURTH = (
    "2021-02-01 00:00:00",
    "2021-02-08 00:00:00",
    "2021-02-08 06:00:00",
    "2021-02-15 00:00:00",
)

pytestmark = pytest.mark.usefixtures("each_engine")


def versions(*sightings: Seen | int | str | None, **others: tuple[Seen | int | str | None, ...]) -> list[Row]:
    """The versions of the fern, seen in turn at FIRST, SECOND and so on; of other products too where given."""
    instants = (FIRST, SECOND, THIRD, FOURTH)[: len(sightings)]
    return ENGINE.rows("product_snapshots", SNAPSHOTS, **observed(instants, fern=sightings, **others))


def test_the_first_sighting_opens_a_current_version_that_changed_after_nothing() -> None:
    assert picked(versions(10), "product_id", "valid_from", "valid_to", "is_current", "changed_after") == [
        ("fern", FIRST, None, True, None)
    ]


def test_a_version_carries_the_attributes() -> None:
    assert picked(versions(Seen(10, "12.3456", "Fern")), "name", "price", "inventory") == [
        ("Fern", Decimal("12.3456"), 10)
    ]


def test_equal_attributes_are_one_version() -> None:
    assert picked(versions(10, 10, 10), "valid_from", "valid_to") == [(FIRST, None)]


@pytest.mark.parametrize("changed", [Seen(11), Seen(10, "10.0001"), Seen(10, name="Boston fern")])
def test_a_change_of_any_attribute_begins_a_version_where_the_one_before_ends(changed: Seen) -> None:
    assert picked(versions(10, changed), "valid_from", "valid_to", "is_current") == [
        (FIRST, SECOND, False),
        (SECOND, None, True),
    ]


@pytest.mark.parametrize("seen", [Seen(None), Seen(10, None), Seen(10, name=None), Seen(None, None, None)])
def test_null_equals_null(seen: Seen) -> None:
    assert picked(versions(seen, seen), "valid_from", "valid_to") == [(FIRST, None)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Seen(None), Seen(0)),
        (Seen(0), Seen(None)),
        (Seen(1, None), Seen(1, "0")),
        (Seen(1, "0"), Seen(1, None)),
        (Seen(1, name=None), Seen(1)),
        (Seen(1), Seen(1, name=None)),
    ],
)
def test_null_differs_from_any_value(before: Seen, after: Seen) -> None:
    assert picked(versions(before, after), "valid_from") == [FIRST, SECOND]


def test_a_price_written_with_other_zeros_is_the_same_price() -> None:
    assert picked(versions(Seen(1, "10"), Seen(1, "10.0000")), "valid_from") == [FIRST]


def test_a_value_that_comes_back_is_a_third_version() -> None:
    assert picked(versions(10, 8, 10), "inventory", "valid_from", "valid_to") == [
        (10, FIRST, SECOND),
        (8, SECOND, THIRD),
        (10, THIRD, None),
    ]


def test_changed_after_is_the_last_observation_of_the_version_before() -> None:
    assert picked(versions(10, 10, 10, 9), "valid_from", "changed_after") == [(FIRST, None), (FOURTH, THIRD)]


def test_a_product_missing_from_an_observation_is_closed_there() -> None:
    assert picked(versions(10, 10, ABSENT), "valid_from", "valid_to", "is_current") == [(FIRST, THIRD, False)]


def test_a_product_closes_at_the_first_observation_that_misses_it() -> None:
    assert picked(versions(10, ABSENT, ABSENT, ABSENT), "valid_from", "valid_to") == [(FIRST, SECOND)]


def test_a_product_that_returns_with_equal_attributes_starts_a_version() -> None:
    assert picked(versions(10, 10, ABSENT, 10), "valid_from", "valid_to", "is_current", "changed_after") == [
        (FIRST, THIRD, False, None),
        (FOURTH, None, True, SECOND),
    ]


def test_a_product_seen_between_two_absences_is_one_closed_version() -> None:
    assert picked(versions(ABSENT, 10, ABSENT), "valid_from", "valid_to", "changed_after") == [(SECOND, THIRD, None)]


def test_an_observation_without_any_product_closes_all() -> None:
    assert picked(versions(10, ABSENT, moss=(3, ABSENT)), "product_id", "valid_to") == [
        ("fern", SECOND),
        ("moss", SECOND),
    ]


def test_products_have_versions_of_their_own() -> None:
    assert picked(versions(10, 9, moss=(9, 9)), "product_id", "inventory", "valid_from") == [
        ("fern", 10, FIRST),
        ("fern", 9, SECOND),
        ("moss", 9, FIRST),
    ]


def test_observations_hours_apart_are_different_instants() -> None:
    assert picked(versions(10, 9, 8), "valid_from", "valid_to") == [(FIRST, SECOND), (SECOND, THIRD), (THIRD, None)]


def test_no_observations_are_no_versions() -> None:
    assert ENGINE.rows("product_snapshots", SNAPSHOTS, raw_products=[], raw_observations=[]) == []


def test_order_of_arrival_does_not_matter() -> None:
    given = observed((FIRST, SECOND, THIRD, FOURTH), fern=(10, 9, ABSENT, 9), moss=(1, 1, None, 1))
    backwards = {name: rows[::-1] for name, rows in given.items()}
    found = ENGINE.rows("product_snapshots", SNAPSHOTS, **given)
    assert len(found) == 6
    assert ENGINE.rows("product_snapshots", SNAPSHOTS, **backwards) == found


def test_an_observation_that_comes_late_splits_the_version_around_it() -> None:
    without = observed((FIRST, THIRD), fern=(10, 10))
    late = observed((SECOND,), fern=(7,))
    both = {name: without[name] + late[name] for name in without}
    assert picked(ENGINE.rows("product_snapshots", SNAPSHOTS, **without), "inventory", "valid_from") == [(10, FIRST)]
    assert picked(ENGINE.rows("product_snapshots", SNAPSHOTS, **both), "inventory", "valid_from", "valid_to") == [
        (10, FIRST, SECOND),
        (7, SECOND, THIRD),
        (10, THIRD, None),
    ]

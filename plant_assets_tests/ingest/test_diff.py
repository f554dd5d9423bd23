"""How a source's files differ from those that were read: each case by itself, without a warehouse."""

import datetime as dt
import hashlib
from pathlib import Path

import pytest

from plant_assets.ingest.diff import FileDiff, diff_files, weeks_as_loaded
from plant_assets.sources.base import SourceFile
from plant_assets.warehouse.ledger.loads import Known

WEEK, OTHER_WEEK = dt.date(2021, 3, 1), dt.date(2021, 2, 22)
BEFORE = b"event_id\ne1\n"


def listed(folder: Path, name: str, content: bytes, mapping: str = "") -> SourceFile:
    path = folder / name
    path.write_bytes(content)
    stat = path.stat()
    return SourceFile("events", name, path, path.suffix[1:], stat.st_size, stat.st_mtime_ns, mapping=mapping)


def known(content: bytes, modified_ns: int = 0) -> Known:
    return len(content), modified_ns, hashlib.sha256(content).hexdigest()


def states(diff: FileDiff) -> dict[str, list[str]]:
    names = ("new", "changed", "appended", "unchanged", "removed")
    return {name: sorted(getattr(diff, name)) for name in names if getattr(diff, name)}


def test_each_file_is_in_one_state(tmp_path: Path) -> None:
    files = [
        listed(tmp_path, "changed.csv", b"event_id\ne2\n"),
        listed(tmp_path, "grown.csv", BEFORE + b"e2\n"),
        listed(tmp_path, "new.csv", BEFORE),
        listed(tmp_path, "same.csv", BEFORE),
    ]
    diff = diff_files(files, {f"{name}.csv": known(BEFORE) for name in ("changed", "grown", "same", "gone")})
    assert states(diff) == {
        "new": ["new.csv"],
        "changed": ["changed.csv"],
        "appended": ["grown.csv"],
        "unchanged": ["same.csv"],
        "removed": ["gone.csv"],
    }
    assert [each.name for each in diff.to_read] == ["changed.csv", "grown.csv", "new.csv"]


@pytest.mark.parametrize(
    ("name", "content", "finds_appended"),
    [
        ("a.csv", b"event_id\ne2\ne1\n", True),  # longer, but with another beginning
        ("a.parquet", BEFORE + b"e2\n", True),  # no lines
        ("a.csv", BEFORE + b"e2\n", False),
    ],
)
def test_a_longer_file_is_changed_unless_lines_were_only_added(
    tmp_path: Path, name: str, content: bytes, finds_appended: bool
) -> None:
    diff = diff_files([listed(tmp_path, name, content)], {name: known(BEFORE)}, finds_appended)
    assert states(diff) == {"changed": [name]}


def test_a_line_that_was_cut_off_and_goes_on_is_changed(tmp_path: Path) -> None:
    diff = diff_files([listed(tmp_path, "a.csv", b"event_id\ne11\n")], {"a.csv": known(b"event_id\ne1")})
    assert states(diff) == {"changed": ["a.csv"]}


def test_a_file_that_is_as_it_was_by_size_and_time_is_not_opened(tmp_path: Path) -> None:
    same = listed(tmp_path, "a.csv", BEFORE)
    same.path.unlink()
    assert states(diff_files([same], {"a.csv": known(BEFORE, same.modified_ns)})) == {"unchanged": ["a.csv"]}


def test_by_another_mapping_a_file_is_changed(tmp_path: Path) -> None:
    files = [listed(tmp_path, "a.csv", BEFORE, mapping="other")]
    assert states(diff_files(files, {"a.csv": known(BEFORE)})) == {"changed": ["a.csv"]}


def test_a_week_is_as_loaded_if_all_its_files_are() -> None:
    loaded = [(WEEK, "a", "1"), (WEEK, "b", "1"), (OTHER_WEEK, "b", "1")]
    assert weeks_as_loaded(loaded, loaded, fresh=[], appended=[]) == {WEEK, OTHER_WEEK}
    held = [(WEEK, "a", "2"), (WEEK, "b", "1"), (OTHER_WEEK, "b", "1")]
    assert weeks_as_loaded(held, loaded, fresh=["a"], appended=[]) == {OTHER_WEEK}


def test_a_week_is_as_loaded_with_new_files_and_with_appended_ones() -> None:
    loaded = [(WEEK, "a", "1"), (WEEK, "b", "1")]
    held = [(WEEK, "a", "1"), (WEEK, "b", "2"), (WEEK, "c", "1")]
    assert weeks_as_loaded(held, loaded, fresh=["b", "c"], appended=["b"]) == {WEEK}


def test_a_week_whose_file_no_longer_holds_it_is_not_as_loaded() -> None:
    assert weeks_as_loaded([], [(WEEK, "a", "1")], fresh=[], appended=[]) == set()

"""What commands print, and that a reader who leaves stops no command."""

import json
import logging
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plant_assets.cli.console import Lines, Steps, Voice
from plant_assets.readers.answers import read_answers
from plant_assets.readers.answers_text import in_tables
from plant_assets.settings import Settings, read_settings
from plant_assets.text import printable
from plant_assets.warehouse.marts import open_marts
from plant_assets_tests.support.pages import marts_for_writing
from plant_assets_tests.support.tables import mart_rows, rows

COMMAND = [sys.executable, "-m", "plant_assets.cli"]
# A title for the terminal's window, a colour, another order of reading, a line of its own.
NASTY = "\x1b]0;mine\x07\x1b[31mfern\x9b2J\u202egnp\u2066.\x7f\r\nall well"
SHOWN = r"\x1b]0;mine\x07\x1b[31mfern\x9b2J\u202egnp\u2066.\x7f all well"


def in_shell(settings: Settings, command: str, redirected: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user of a shell does; its own exit code, whatever reads it."""
    words = shlex.join([*COMMAND, *command.split(), "--source", str(settings.source), "--warehouse"])
    script = f"{words} {shlex.quote(str(settings.warehouse))} {redirected}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=300, check=False)


def publisher(settings: Settings) -> str | None:
    with open_marts(settings) as marts:
        return marts.publisher()


def page(settings: Settings) -> str:
    folder = settings.warehouse_path.with_name(settings.warehouse_path.name + ".report")
    return (folder / "latest.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("redirected", ["2>&1 | head -n 3", "2>&1 | true", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>&1"])
def test_a_run_goes_on_to_its_end_whoever_reads_it(built: Settings, redirected: str) -> None:
    before = publisher(built)
    done = in_shell(built, "run", redirected)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert publisher(built) != before
    assert 'role="alert"' not in page(built)
    # No line that was printed went to a file that took the number of a closed stream.
    assert mart_rows(built, "select count(*) from funnel") == [(1,)]


def test_a_run_goes_on_without_its_terminal(built: Settings) -> None:
    before = publisher(built)
    ours, theirs = pty.openpty()
    where = ["--source", str(built.source), "--warehouse", str(built.warehouse)]
    with subprocess.Popen([*COMMAND, "run", *where], stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        assert os.read(ours, 10)
        os.close(ours)
        assert process.wait(timeout=300) == 0
    assert publisher(built) != before
    assert 'role="alert"' not in page(built)


@pytest.mark.parametrize(("is_sound", "code"), [(True, 0), (False, 1)])
def test_the_exit_code_of_check_is_that_of_the_checks(built: Settings, is_sound: bool, code: int) -> None:
    if not is_sound:
        rows(built, "update inventory set inflow = inflow + 1")
    done = in_shell(built, "check", "| head -n 1")
    assert (done.returncode, len(done.stdout.splitlines())) == (code, 1)


@pytest.mark.parametrize(
    ("command", "reader"), [("answers", "head -n 1"), ("answers --json", "true"), ("doctor", "true")]
)
def test_a_reader_who_leaves_has_enough(built_once: Settings, command: str, reader: str) -> None:
    done = in_shell(built_once, command, f"| {reader}")
    assert (done.returncode, done.stderr) == (0, "")


def test_answers_that_a_full_disk_does_not_take_are_a_failure(built_once: Settings) -> None:
    done = in_shell(built_once, "answers --json", ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == "plant-assets: not all output could be written: No space left on device\n"


def test_what_has_no_letter_in_the_terminals_encoding_is_escaped(built: Settings) -> None:
    with marts_for_writing(built) as marts:
        marts.execute("update inventory_fluctuations set product_name = 'Caf\u00e9'")
    assert "Caf\u00e9" in in_shell(built, "answers", "").stdout
    plain = subprocess.run(
        [*COMMAND, "answers", "--warehouse", str(built.warehouse)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert r"Caf\xe9" in plain.stdout


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NASTY, SHOWN),
        ("a\nb\rc\r\nd\u2028e\u2029f", "a b c d e f"),
        ("a\tb\0", r"a\tb\x00"),
        ("\udcff", r"\udcff"),
        *(
            (name, name)
            for name in (
                "[red]fern[/red] [/x]",
                "Caf\u00e9 \u05e0\u05e2\u05e0\u05e2 \u9f9c\u80cc\u7af9",
                # A farmer, and a Persian word: made with characters that nobody sees.
                "\U0001f469\u200d\U0001f33e",
                "\u0645\u06cc\u200c\u0634\u0648\u062f",
            )
        ),
    ],
)
def test_text_is_shown_as_one_line_that_no_terminal_obeys(text: str, shown: str) -> None:
    voice = Voice(width=200)
    with voice.capture() as captured:
        voice.say(text)
    assert captured.get() == printable(text) + "\n" == shown + "\n"


def test_the_bar_shows_steps_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps("[/x]") as steps:
        steps.advance(NASTY)
    assert capsys.readouterr().err == f"[/x]\n{SHOWN}\n"


def test_a_log_line_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("plant_assets", logging.INFO, "", 1, "%s", (NASTY,), sys.exc_info())
    first, *traceback = Lines().format(record).splitlines()
    assert first == SHOWN
    assert traceback[-1] == "ValueError: why"


@pytest.fixture
def nasty(built: Settings) -> Settings:
    """A warehouse whose products all have a name that a terminal would obey."""
    with marts_for_writing(built) as marts:
        for name in ("inventory_changes", "inventory_fluctuations", "inventory"):
            marts.execute(f"update {name} set product_name = ?", [NASTY])
    return built


def as_tables(settings: Settings) -> str:
    voice = Voice(width=200, force_terminal=True, color_system=None)
    with open_marts(settings) as marts, voice.capture() as captured:
        voice.print(in_tables(read_answers(marts)))
    return captured.get()


@pytest.mark.parametrize("shown", [lambda settings: in_shell(settings, "answers", "").stdout, as_tables])
def test_answers_show_names_escaped(nasty: Settings, shown: Callable[[Settings], str]) -> None:
    text = shown(nasty)
    assert SHOWN in text
    assert [line for line in text.splitlines() if not line.isprintable()] == []


def test_answers_as_json_keep_names_and_send_no_control_character(nasty: Settings) -> None:
    done = in_shell(nasty, "answers --json", "")
    assert done.stdout.rstrip("\n").isprintable()
    assert json.loads(done.stdout)["most_fluctuating"] == [NASTY]


def test_checks_show_names_escaped(built: Settings) -> None:
    rows(built, "update inventory set inflow = inflow + 1, product_id = ?", [NASTY])
    done = in_shell(built, "check", "")
    [line] = [line for line in done.stdout.splitlines() if "inventory_flows_balance" in line]
    assert SHOWN in line
    assert [line for line in (done.stdout + done.stderr).splitlines() if not line.isprintable()] == []


def test_what_a_source_writes_is_shown_escaped(folder: Path, tmp_path: Path) -> None:
    day = folder / "events" / "2026-10-13.csv"
    event = 'e1,s1,,,yesterday\x1b[31m,page_view,,\ne2,s1,,,2026-10-13T10:00:00Z,"\x1b[2J\r\nfern",,\n'
    day.write_text(day.read_text() + event)
    settings = read_settings(source=folder, warehouse=tmp_path / "new.duckdb")
    for header in ("", "order_id,a\x1b[2J\n"):
        if header:
            (folder / "order_items" / "2026-10-13.csv").write_text(header)
        done = in_shell(settings, "doctor", "")
        shown = done.stdout + done.stderr
        assert (r"a\x1b[2J" if header else r"\x1b[2J fern (1)") in shown
        assert [line for line in shown.splitlines() if not line.isprintable()] == []

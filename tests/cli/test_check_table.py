"""Tables for people and for scripts."""

import sys

import pytest

from forwarder.cli.table import print_table

ROWS = [("persona", "[red]ok[/red]"), ("a-long-name", "")]


def test_away_from_a_terminal_columns_are_plain_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Title", ("name", "finding"), ROWS)
    assert capsys.readouterr().out == "NAME         FINDING\npersona      [red]ok[/red]\na-long-name\n"


def test_a_table_without_rows_is_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Title", ("name", "finding"), [])
    assert capsys.readouterr().out == "NAME  FINDING\n"


def test_on_a_terminal_it_is_drawn_and_takes_no_markup_from_cells(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    print_table("Title", ("name", "finding"), ROWS)
    drawn = capsys.readouterr().out
    assert "Title" in drawn
    assert "[red]ok[/red]" in drawn
    assert "│" in drawn

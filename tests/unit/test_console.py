"""What a table shows in terminals of several widths."""

from __future__ import annotations

import sys

import pytest
from layersmith import console
from rich.console import Console

HEADINGS = ("target", "zipped", "unzipped", "files", "bytecode", "glibc", "status", "time")
RIGHT = {"zipped", "unzipped", "files", "bytecode", "time"}
DROP = ("glibc", "bytecode", "time", "files", "unzipped")
ROWS = [
    ("chromadb-vector-python3.13-arm64", "30.85 MB", "103.20 MB", "1,579", "1,204", "2.28",
     "unchanged", ""),
    ("imaging-python3.13-arm64", "6.10 MB", "17.02 MB", "579", "402", "2.17", "built", "12.3 s"),
]  # fmt: skip


def drawn(width: int, **options: object) -> str:
    out = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    out.print(
        console.table(HEADINGS, ROWS, right=RIGHT, width=width, **{"drop": DROP, **options})  # type: ignore[arg-type]
    )
    return out.export_text()


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_table_cuts_no_number_and_no_word(width: int) -> None:
    text = drawn(width)
    gone = text.partition("left out")[2].replace(",", " ").split()
    shown = [i for i, name in enumerate(HEADINGS) if name not in gone]
    assert max(map(len, text.splitlines())) <= width
    assert {"zipped", "status"} <= {HEADINGS[i] for i in shown}
    for row in ROWS:
        for i in shown[1:]:
            assert row[i] in text
        for piece in row[0].split("-"):
            assert piece in text


def test_a_wide_terminal_leaves_nothing_out() -> None:
    assert "left out" not in drawn(120)
    assert ROWS[0][0] in drawn(120)


def test_what_is_left_out_is_named() -> None:
    said = drawn(40).partition("left out, as the")[2].split()
    assert "glibc," in said
    assert "status" not in said


def test_a_table_that_cannot_be_narrow_becomes_blocks() -> None:
    lines = [line.rstrip() for line in drawn(40, drop=()).splitlines()]
    for row in ROWS:
        for name, cell in zip(HEADINGS, row, strict=True):
            assert not cell or f"{name}: {cell}" in lines or name == "target"


@pytest.mark.parametrize("quiet", [True, False])
def test_without_a_terminal_each_phase_is_one_line(
    quiet: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    console.stderr.cache_clear()
    console.set_volume(quiet=quiet)
    try:
        with console.phases("imaging") as show:
            show("importing", "200 of 300 modules")
            show("importing", "300 of 300 modules")
            show("smoke file")
        said = capsys.readouterr().err.splitlines()
    finally:
        console.set_volume()
        console.stderr.cache_clear()
    told = ["imaging: importing 200 of 300 modules", "imaging: smoke file"]
    assert said == ([] if quiet else told)


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("run `nox -s lock -- --layer demo`", "run `layersmith lock --layer demo`"),
        ("run `nox -s build`, or name the zip", "run `layersmith build`, or name the zip"),
        ("run `python build/layers.py plan`", "run `layersmith plan`"),
        ("put it into noxfile.py", "put it into noxfile.py"),
    ],
)
def test_an_installed_program_is_called_by_its_name(
    text: str, called: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/layersmith", "plan"])
    console.stderr.cache_clear()
    console.warn(text)
    console.stderr.cache_clear()
    assert called in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["build/layers.py", "plan"])
    assert console.as_called(text) == text

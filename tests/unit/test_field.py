"""The sets of the field run, and how its outcomes are judged and shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.base import runtimes

from tests.field import document
from tests.field.sets import Outcome, read

if TYPE_CHECKING:
    from pathlib import Path

WORKS, FAILS = {"works": True}, {"works": False, "said": "ImportError: no | x"}


def outcome(**more: Any) -> Outcome:
    known = {"name": "a", "requirements": ["a"], "locked": True, "built": "start" in more}
    return Outcome.model_validate({**known, "plain": {"zipped": 200, "unzipped": 400}, **more})


def test_every_set_is_named_once_and_its_work_is_python() -> None:
    sets = read()
    assert len({one.name for one in sets}) == len(sets)
    for one in sets:
        compile(one.work, one.name, "exec")


@pytest.mark.parametrize(
    ("more", "right"),
    [
        ({"start": WORKS}, True),
        ({"start": WORKS, "refused": "needs a browser"}, False),
        ({"start": FAILS, "plain_start": WORKS}, False),
        ({"start": FAILS, "plain_start": FAILS}, True),
        ({"why": "RPATH-ABSOLUTE", "plain_start": WORKS}, False),
        ({"why": "RPATH-ABSOLUTE", "plain_start": FAILS}, True),
        ({"why": "no wheel", "plain": {"said": "no wheel"}}, True),
        ({"why": "needs libexpat", "plain_start": WORKS, "refused": "not in AWS's image"}, True),
    ],
)
def test_a_set_is_right_where_its_layer_works_or_nothing_would(
    more: dict[str, Any], right: bool
) -> None:
    assert outcome(**more).right is right


def test_the_page_keeps_the_other_runtimes(tmp_path: Path) -> None:
    smoke = {"green": True, "by": "twin", "optional": 2}
    works = outcome(start=WORKS, zipped=100, smoke=smoke)
    document.write(tmp_path, runtimes.get("python3.14"), [works])
    broken = outcome(start=FAILS, plain_start=WORKS, zipped=100)
    document.write(tmp_path, runtimes.get("python3.13"), [broken])
    data = json.loads((tmp_path / "compatibility.json").read_text())
    assert sorted(data) == ["python3.13", "python3.14"]
    page = (tmp_path / "compatibility.md").read_text()
    assert "| python3.13 | 1 | 1 | 1 | 0 | - | 0.50 | 1 |" in page
    assert "| python3.14 | 1 | 1 | 1 | 1 | 1 of 1 | 0.50 | 0 |" in page
    assert "| a | 0.1 kB | 0.50 | yes | green |  |" in page
    assert "| a | 0.1 kB | 0.50 | no | - | ImportError: no \\| x |" in page


def test_no_folder_of_the_machine_is_kept(tmp_path: Path) -> None:
    said = "cc -I/root/versions/3.13/include/python3.13 -c src/a.c"
    document.write(tmp_path, runtimes.get("python3.13"), [outcome(why=said)])
    data = json.loads((tmp_path / "compatibility.json").read_text())
    assert data["python3.13"][0]["why"] == "cc -I.../python3.13 -c src/a.c"


def choices(none: int, ms: float, *, works: bool = True) -> dict[str, Any]:
    """Return what is measured of a set: sizes that halve, times of the choices."""
    sizes = {"none": none, "unchecked-hash": 400, "only": 200, "only, optimize: 2": 100}
    found: dict[str, dict[str, Any]] = {
        name: {"zipped": size, "works": True, "ms": ms} for name, size in sizes.items()
    }
    found["none"]["ms"] = 2 * ms
    if not works:
        found["only, optimize: 2"] |= {"works": False, "ms": None, "said": "no docstring"}
    return {"kind": "native", "plain": 200, "choices": found}


def test_the_page_compares_the_choices_of_bytecode(tmp_path: Path) -> None:
    outcomes = [
        outcome(start=WORKS, zipped=400, bytecode=choices(300, 50)),
        outcome(name="b", start=WORKS, bytecode=choices(300, 70, works=False)),
        outcome(name="c", start=WORKS),
    ]
    document.write(tmp_path, runtimes.get("python3.13"), outcomes)
    page = (tmp_path / "compatibility.md").read_text()
    assert "Medians over 2 of the 3 sets" in page
    assert "| none | 1.50 | 0.75 | 1.00 | 2 of 2 |  |" in page
    assert "| unchecked-hash | 2.00 | 1.00 | 0.50 | 2 of 2 |  |" in page
    assert "| only, optimize: 2 | 0.50 | 0.25 | 0.50 | 1 of 2 | b |" in page
    assert "| native | 2 | 0.75, 1.00 | 1.00, 0.50 | 0.50, 0.50 | 0.25, 0.50 |" in page
    assert "| pure Python | 0 | -, - |" in page


def test_choices_of_bytecode_stay_for_the_same_zip(tmp_path: Path) -> None:
    measured = [
        outcome(start=WORKS, zipped=400, bytecode=choices(300, 50)),
        outcome(name="b", start=WORKS, zipped=400, bytecode=choices(300, 50)),
    ]
    document.write(tmp_path, runtimes.get("python3.13"), measured)
    again = [outcome(start=WORKS, zipped=400), outcome(name="b", start=WORKS, zipped=401)]
    document.write(tmp_path, runtimes.get("python3.13"), again)
    data = json.loads((tmp_path / "compatibility.json").read_text())["python3.13"]
    assert ["bytecode" in one for one in data] == [True, False]


def test_a_run_that_starts_nothing_keeps_what_is_known_of_starts(tmp_path: Path) -> None:
    smoke = {"green": True, "by": "twin", "optional": 2}
    started = [
        outcome(start=WORKS, smoke=smoke, zipped=400, bytecode=choices(300, 50)),
        outcome(name="b", start=FAILS, plain_start=FAILS, zipped=400),
    ]
    document.write(tmp_path, runtimes.get("python3.13"), started)
    weighed = choices(150, 50)
    for choice in weighed["choices"].values():
        choice |= {"works": None, "ms": None}
    again = [
        outcome(zipped=300, built=True, bytecode=weighed),
        outcome(name="b", zipped=300, built=True, bytecode=weighed),
    ]
    document.write(tmp_path, runtimes.get("python3.13"), again, started=False)
    page = (tmp_path / "compatibility.md").read_text()
    assert "| none | 0.75 | 0.38 | 1.00 | 1 of 1 |  |" in page
    assert "| a | 0.3 kB | 1.50 | yes | green |  |" in page
    assert "| b | 0.3 kB | 1.50 | no | - | ImportError: no \\| x; nor does a plain" in page

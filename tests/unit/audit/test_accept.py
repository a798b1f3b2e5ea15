"""What `accept` of layers.yaml takes, and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from layersmith.audit.findings import AuditReport, Finding, Severity

from tests.unit.audit.layers import EXTENSION, GOOD, judge, layer, only

if TYPE_CHECKING:
    from collections.abc import Sequence

LACKING = layer(**{EXTENSION: replace(GOOD, needed=("libgone.so.1",)).build()})


def accepting(files: dict[str, bytes], key: str, requirements: Sequence[str] = ()) -> AuditReport:
    return judge(files, accepted={key: "nobody loads it"}, requirements=list(requirements))


@pytest.mark.parametrize(
    "key",
    [
        f"NEEDED-MISSING {EXTENSION}",
        f"NEEDED-MISSING {EXTENSION.removeprefix('python/')}",
        "NEEDED-MISSING fast/_fast.*.so",
        "NEEDED-MISSING python/*",
    ],
)
def test_a_finding_is_accepted_by_code_and_path(key: str) -> None:
    report = accepting(LACKING, key)
    report.raise_for_errors()
    assert (report.errors, report.warnings) == ([], [])
    assert [one.accepted for one in report.accepted] == ["nobody loads it"]
    assert report.record().accepted == {f"NEEDED-MISSING {EXTENSION}": "nobody loads it"}


def test_a_finding_without_a_path_is_accepted_by_its_distribution() -> None:
    report = accepting(layer(), "IMPORT-MISSING absent", requirements=["fast", "absent"])
    assert report.ok
    assert [one.code for one in report.accepted] == ["IMPORT-MISSING"]


@pytest.mark.parametrize(
    ("key", "next_step"),
    [
        (f"NEEDED-MISING {EXTENSION}", f"did you mean 'NEEDED-MISSING {EXTENSION}'?"),
        (f"NEEDED-MISSING {EXTENSION}x", f"did you mean 'NEEDED-MISSING {EXTENSION}'?"),
        ("MODE bin/tool", "remove it from layers.yaml"),
    ],
)
def test_a_key_that_fits_nothing_is_said_with_the_closest_finding(key: str, next_step: str) -> None:
    report = accepting(LACKING, key)
    assert [one.code for one in report.errors] == ["NEEDED-MISSING"]
    unused = only_unused(report)
    assert repr(key) in unused.what
    assert ("the closest is" in unused.what) is ("did you mean" in next_step)
    assert unused.next == next_step


def only_unused(report: AuditReport) -> Finding:
    (found,) = report.warnings
    assert (found.code, found.severity) == ("ACCEPT-UNUSED", Severity.WARNING)
    return found


def test_names_with_brackets_are_taken_literally() -> None:
    name = "python/fast/a[1].pth"
    assert only(accepting(layer(**{name: b""}), f"LAYOUT-PTH {name}")).accepted

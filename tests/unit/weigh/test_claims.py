"""What distributions claim of themselves, held against what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith import cache
from layersmith.base import runtimes
from layersmith.lock import wheelstore
from layersmith.lock.document import Lock, LockEntry
from layersmith.weigh import claims
from layersmith.weigh import target as weigh

from tests.support import wheels

if TYPE_CHECKING:
    from pathlib import Path


def said(tmp_path: Path, requirement: str, *metadata: str, ask: bool = True) -> list[str]:
    """Return the notes on a layer of one distribution whose METADATA has more lines."""
    made = wheels.make(tmp_path, "thing", {"thing.py": b""}, metadata=metadata)
    content = made.read_bytes()
    sha256 = cache.sha256_bytes(content)
    wheelstore.admit(sha256, made.name, content)
    target = weigh.target_of("demo", [requirement], runtimes.get("python3.13"), "arm64")
    lock = Lock([LockEntry("thing", "1.0", sha256, made.name)], "", {})
    return claims.notes(target, lock, tmp_path, ask=ask)


@pytest.mark.parametrize(
    ("claim", "excluded"),
    [
        (">=3.7,<=3.11", True),
        ("<3.13", True),
        ("!=3.13.*", True),
        (">=3.8", False),
        ("<4", False),
        (">=3.13.1", False),
        ("<=3.13.5", False),
        ("whatever", False),
    ],
)
def test_a_cap_below_the_runtime(tmp_path: Path, claim: str, excluded: bool) -> None:
    notes = said(tmp_path, "thing", f"Requires-Python: {claim}")
    assert len(notes) == excluded
    assert all(f"thing 1.0 asks for Python {claim}, which excludes" in note for note in notes)


@pytest.mark.parametrize(
    ("extra", "closest"),
    [("fast", None), ("Fast", None), ("fsat", "did you mean fast?"), ("other", "it has fast")],
)
def test_an_extra_that_does_not_exist(tmp_path: Path, extra: str, closest: str | None) -> None:
    notes = said(tmp_path, f"thing[{extra}]", "Provides-Extra: fast")
    if closest is None:
        assert notes == []
    else:
        (note,) = notes
        assert note.startswith(f"thing has no extra {extra}")
        assert closest in note


def test_a_wheel_that_is_not_here_is_passed_over_unless_the_index_may_be_asked(
    tmp_path: Path,
) -> None:
    target = weigh.target_of("demo", ["thing"], runtimes.get("python3.13"), "arm64")
    lock = Lock([LockEntry("thing", "1.0", "0" * 64, "thing-1.0-py3-none-any.whl")], "", {})
    assert claims.notes(target, lock, tmp_path, ask=False) == []

from __future__ import annotations

from pathlib import Path

import pytest
from layersmith.crossbuild import BuiltWheel
from layersmith.errors import BuildError
from layersmith.lock import build_pins, document
from layersmith.lock.document import Lock, LockEntry

ENTRY = LockEntry(
    "markupsafe",
    "3.0.3",
    "7" * 64,
    "markupsafe-3.0.3.tar.gz",
    ("layers.yaml",),
    ("zig==0.17.1", "setuptools==84.2.1"),
)


def test_the_pins_of_a_build_are_written_and_read() -> None:
    lock = Lock([ENTRY], "1" * 64, {})
    text = document.render(lock, "demo")
    assert "    # build zig==0.17.1\n    # build setuptools==84.2.1\n" in text
    assert document.parse(text, Path("demo.txt")) == lock


def made(version: str) -> BuiltWheel:
    return BuiltWheel(Path("x.whl"), "0" * 64, {"compiler": {"name": "zig", "version": version}})


def test_another_compiler_than_the_locked_one_is_refused() -> None:
    build_pins._same_compiler(ENTRY, made("0.17.1"))
    with pytest.raises(
        BuildError, match=r"locked to zig==0\.17\.1, and this machine has zig==0\.18"
    ):
        build_pins._same_compiler(ENTRY, made("0.18.0"))

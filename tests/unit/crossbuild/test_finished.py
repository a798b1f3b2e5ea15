"""The wheel that is kept: judged, tagged, and the same bytes whenever it is written."""

from __future__ import annotations

import csv
import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes
from layersmith.crossbuild import finished
from layersmith.errors import BuildError

from tests.support import wheels
from tests.support.tiny_elf import EM_X86_64, TinyElf

if TYPE_CHECKING:
    from pathlib import Path

AL2023 = runtimes.get("python3.13")
AL2 = runtimes.get("python3.11")
TAG = "cp313-cp313-linux_aarch64"
GLIBC = {"libc.so.6": ("GLIBC_2.17", "GLIBC_2.28")}


def extension(**changes: object) -> bytes:
    settings: dict[str, object] = {"needed": ("libc.so.6",), "versions": GLIBC, **changes}
    return TinyElf(**settings).build()  # type: ignore[arg-type]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_native_wheel_is_tagged_for_the_runtime(tmp_path: Path, out: Path) -> None:
    built = wheels.make(tmp_path, "thing", {"thing/a.so": extension()}, tag=TAG)

    path, glibc = finished.finish(built, out, AL2023, "arm64")

    assert path.name == "thing-1.0-cp313-cp313-manylinux_2_34_aarch64.whl"
    assert glibc == "2.28"
    with zipfile.ZipFile(path) as wheel:
        text = wheel.read("thing-1.0.dist-info/WHEEL").decode()
    assert "Tag: cp313-cp313-manylinux_2_34_aarch64\n" in text
    assert text.count("Tag:") == 1


def test_a_pure_wheel_keeps_its_tag(tmp_path: Path, out: Path) -> None:
    built = wheels.make(tmp_path, "thing", {"thing/__init__.py": b""})

    path, glibc = finished.finish(built, out, AL2023, "arm64")

    assert (path.name, glibc) == ("thing-1.0-py3-none-any.whl", "")


def test_the_record_fits_every_member(tmp_path: Path, out: Path) -> None:
    files = {"thing/a.so": extension(), "thing/b,c.py": b"x = 1\n", 'thing/"d".txt': b"d"}
    path, _ = finished.finish(wheels.make(tmp_path, "thing", files, tag=TAG), out, AL2023, "arm64")

    with zipfile.ZipFile(path) as wheel:
        rows = list(csv.reader(wheel.read("thing-1.0.dist-info/RECORD").decode().splitlines()))
        names = wheel.namelist()
        for name, digest, size in rows[:-1]:
            content = wheel.read(name)
            assert (digest, int(size)) == (wheels.digest(content), len(content))
    assert sorted(name for name, *_ in rows) == sorted(names)
    assert names == sorted(names)


def test_dates_order_and_compression_do_not_matter(tmp_path: Path, out: Path) -> None:
    files = {"thing/b.py": b"b", "thing/a.so": extension(), "bin/run": b"#!/bin/sh\n"}
    made = []
    for n, compression in enumerate((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)):
        folder = tmp_path / str(n)
        (folder / "out").mkdir(parents=True)
        order = dict(sorted(files.items(), reverse=bool(n)))
        built = wheels.make(
            folder, "thing", order, tag=TAG, compression=compression, executables=["bin/run"]
        )
        made.append(finished.finish(built, folder / "out", AL2023, "arm64")[0])

    assert made[0].read_bytes() == made[1].read_bytes()
    with zipfile.ZipFile(made[0]) as wheel:
        modes = {info.filename: info.external_attr >> 16 for info in wheel.infolist()}
    assert modes["bin/run"] == 0o100755
    assert modes["thing/b.py"] == 0o100644


def test_another_machine_is_refused(tmp_path: Path, out: Path) -> None:
    files = {"thing/a.so": extension(machine=EM_X86_64)}
    built = wheels.make(tmp_path, "thing", files, tag=TAG)

    with pytest.raises(BuildError, match=r"thing/a\.so was compiled for x86_64, not for arm64"):
        finished.finish(built, out, AL2023, "arm64")


def test_a_newer_glibc_is_refused(tmp_path: Path, out: Path) -> None:
    built = wheels.make(tmp_path, "thing", {"thing/a.so": extension()}, tag=TAG)

    with pytest.raises(BuildError, match=r"needs GLIBC_2\.28, and python3\.11 has 2\.26"):
        finished.finish(built, out, AL2, "arm64")


def test_a_stored_wheel_that_was_damaged_is_not_used(tmp_path: Path, out: Path) -> None:
    wheel = wheels.make(tmp_path, "thing", {"thing/__init__.py": b""})
    kept = finished.write(out, wheel, {"name": "thing"}, "")
    assert finished.read(out) == kept

    kept.path.write_bytes(kept.path.read_bytes()[:-1])

    assert finished.read(out) is None


def test_nothing_is_stored_until_the_record_is(tmp_path: Path, out: Path) -> None:
    wheel = wheels.make(tmp_path, "thing", {"thing/__init__.py": b""})
    finished.write(out, wheel, {"name": "thing"}, "")

    (out / "record.json").unlink()

    assert finished.read(out) is None

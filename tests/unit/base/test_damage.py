"""Damaged files have one kind of error, whatever reads them; trouble of the machine has another."""

from __future__ import annotations

import errno
import io
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.base import damage
from layersmith.errors import BuildError, ShipError

from tests.support import zips

if TYPE_CHECKING:
    from collections.abc import Callable

ZIP = zips.content({"a.txt": b"\xff\xff\xff"})


def changed(signature: bytes, offset: int, value: int) -> bytes:
    """Return the zip with two bytes behind a signature replaced."""
    place = ZIP.index(signature) + offset
    return ZIP[:place] + struct.pack("<H", value) + ZIP[place + 2 :]


def unzip(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            archive.read(name)


def untar(content: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.getmembers()


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (unzip, changed(b"PK\1\2", 6, 90), "zip file version 9.0"),
        (unzip, changed(b"PK\1\2", 10, 77), "compression"),
        (unzip, changed(b"PK\1\2", 8, 1), "encrypted|differ"),
        (unzip, changed(b"PK\1\2", 8, 0x800).replace(b"a.txt", b"\xff.txt"), "utf-8"),
        (unzip, changed(b"PK\1\2", 10, 8), "Error -3"),
        (unzip, ZIP[:-30], "not a zip"),
        (untar, b"no archive", "could not be opened"),
        (untar, b"BZh9" + b"x" * 600, "could not be opened"),
    ],
)
def test_what_archives_raise(read: Callable[[bytes], None], content: bytes, said: str) -> None:
    with (
        pytest.raises(BuildError, match=f"^x.whl is not a readable wheel: .*({said})") as caught,
        damage.told("x.whl"),
    ):
        read(content)
    assert caught.value.cause
    assert caught.value.__cause__ is not None


def test_the_error_is_of_the_room_and_names_target_and_next_step() -> None:
    with (
        pytest.raises(ShipError, match=r"plan\.txt is not a readable plan: ") as caught,
        damage.told("plan.txt", ShipError, kind="plan", target="demo", hint="look again"),
    ):
        raise RecursionError
    assert (caught.value.target, caught.value.hint) == ("demo", "look again")
    assert "RecursionError" in caught.value.message


def test_an_error_of_layersmith_passes() -> None:
    inner = BuildError("it holds two folders")
    with pytest.raises(BuildError) as caught, damage.told("x.zip"):
        raise inner
    assert caught.value is inner


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.ENOENT])
def test_trouble_of_the_machine_passes(code: int) -> None:
    with pytest.raises(OSError, match="disk") as caught, damage.told("x.zip"):
        raise OSError(code, "the disk")
    assert caught.value.errno == code

"""Small zips hold their files sorted, with one date and with modes that Lambda can read."""

from __future__ import annotations

import io
import zipfile

from layersmith.base import zips


def test_a_zip_is_the_same_whatever_the_order_of_its_files() -> None:
    files = {"b.py": b"b" * 500, "a/run": b"#!", "c": b""}
    packed = zips.pack(files, executables={"a/run"})
    assert packed == zips.pack(dict(reversed(files.items())), executables=["a/run"])
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["a/run", "b.py", "c"]
        assert {info.date_time for info in archive.infolist()} == {zips.EPOCH}
        assert {info.create_system for info in archive.infolist()} == {zips.UNIX}
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        assert modes == {"a/run": 0o100755, "b.py": 0o100644, "c": 0o100644}
        assert archive.read("b.py") == b"b" * 500
        assert archive.getinfo("b.py").compress_size < 500


def test_the_level_is_that_of_deflate() -> None:
    text = bytes(number * number % 251 for number in range(20_000))
    assert len(zips.pack({"x": text}, level=9)) <= len(zips.pack({"x": text}, level=1))

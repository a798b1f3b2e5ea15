"""The first member of two zips that differs, and in what."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.base import zips
from layersmith.errors import ProofError
from layersmith.supply import reproduce

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = str([*range(999)]).encode()
FILES = {"python/a.py": NUMBERS, "python/b.py": b"VALUE = 2\n", "python/c": b"c"}


def written(path: Path, *, names: tuple[str, ...] = tuple(FILES), level: int = 9, **b: Any) -> Path:
    """Write FILES as a layer's zip; ``b`` changes attributes of the header of python/b.py."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.comment = b.pop("zip_comment", b"")
        content = b.pop("content", FILES["python/b.py"])
        for name in names:
            info = zipfile.ZipInfo(name, zips.EPOCH)
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, zips.UNIX
            info.external_attr = (zips.REGULAR | zips.FILE_MODE) << 16
            if name == "python/b.py":
                for key, value in b.items():
                    setattr(info, key, value)
            said = content if name == "python/b.py" else FILES[name]
            archive.writestr(info, said, compresslevel=level)
    path.write_bytes(memory.getvalue())
    return path


@pytest.mark.parametrize(
    ("changed", "member", "kind", "detail"),
    [
        ({"content": b"VALUE = 3\n"}, "python/b.py", "bytes", "bytes differ from offset 8 on"),
        ({"content": b"VALUE = 22\n"}, "python/b.py", "bytes", "size in bytes: 10 published, 11"),
        ({"external_attr": 0o100755 << 16}, "python/b.py", "mode", "100644 published, 100755"),
        ({"date_time": (1981, 2, 3, 4, 5, 6)}, "python/b.py", "time", "1981-02-03 04:05:06"),
        ({"compress_type": 0}, "python/b.py", "compression", "deflate published, store"),
        ({"level": 1}, "python/a.py", "compression", "same content, compressed to bytes"),
        ({"comment": b"x"}, "python/b.py", "headers", "comment"),
        ({"zip_comment": b"x"}, "", "headers", "all members are the same"),
        ({"names": ("python/a.py", "python/c")}, "python/b.py", "missing", "only published"),
        ({"names": ("python/a.py", "python/c", "python/b.py")}, "python/b.py", "order", "python/c"),
    ],
)
def test_first_member_that_differs(
    tmp_path: Path, changed: dict[str, Any], member: str, kind: str, detail: str
) -> None:
    published, rebuilt = written(tmp_path / "one.zip"), written(tmp_path / "two.zip", **changed)
    found = reproduce.first_difference(published, rebuilt)
    assert found is not None
    assert (found.member, found.kind) == (member, kind)
    assert detail in found.detail


def test_same_zips_and_one_member_more(tmp_path: Path) -> None:
    whole, less = written(tmp_path / "one.zip"), written(tmp_path / "two.zip", names=("python/c",))
    assert reproduce.first_difference(whole, written(tmp_path / "three.zip")) is None
    found = reproduce.first_difference(less, whole)
    assert found is not None
    assert (found.member, found.kind) == ("python/a.py", "extra")


def test_signature_of_aws_signer_is_no_difference(tmp_path: Path) -> None:
    """Nor is how the service wrote the zip; another file in it still is."""
    built, signed = written(tmp_path / "one.zip"), written(tmp_path / "two.zip", level=1)
    with zipfile.ZipFile(signed, "a") as archive:
        archive.writestr(reproduce.SIGNATURE, "signature")
    assert reproduce.is_signed(signed)
    assert not reproduce.is_signed(built)
    assert reproduce.first_difference(signed, built, signed=True) is None
    assert reproduce.first_difference(signed, built) is not None
    with zipfile.ZipFile(signed, "a") as archive:
        archive.writestr("python/more.py", "")
    found = reproduce.first_difference(signed, built, signed=True)
    assert found is not None
    assert (found.member, found.kind) == ("python/more.py", "missing")


def test_a_damaged_zip_is_an_error(tmp_path: Path) -> None:
    whole = written(tmp_path / "one.zip")
    cut = tmp_path / "two.zip"
    cut.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(ProofError, match=r"two\.zip is not a readable zip"):
        reproduce.first_difference(whole, cut)

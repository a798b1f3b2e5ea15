"""The same words from Python have different causes; the layer tells which one it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from layersmith.prove.layer_zip import LayerZip, named_for
from layersmith.prove.models import Cause, ImportFailure
from layersmith.prove.smoke.failures import diagnose

from tests.support import zips

if TYPE_CHECKING:
    from pathlib import Path

ARM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00"
X86 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00"
NO_NAME = "cannot import name '_imaging' from 'PIL' (/opt/python/PIL/__init__.py)"
OURS = "python/PIL/_imaging.cpython-313-aarch64-linux-gnu.so"


class Explain(Protocol):
    def __call__(self, files: dict[str, bytes], *messages: str) -> str: ...


@pytest.fixture
def explain(tmp_path: Path) -> Explain:
    def explained(files: dict[str, bytes], *messages: str) -> str:
        path = zips.write(tmp_path / "layer.zip", {"python/PIL/__init__.py": b"", **files})
        chain = [Cause(type="ImportError", message=message) for message in messages]
        return str(diagnose(ImportFailure(chain=chain), LayerZip(path), "3.13", "arm64"))

    return explained


def test_wheel_for_another_architecture(explain: Explain) -> None:
    said = explain({"python/PIL/_imaging.cpython-313-x86_64-linux-gnu.so": X86}, NO_NAME)
    assert said.startswith("wrong architecture: ")
    assert "built for x86_64, and the target is arm64" in said


def test_wheel_for_another_python(explain: Explain) -> None:
    said = explain({"python/PIL/_imaging.cpython-312-aarch64-linux-gnu.so": ARM}, NO_NAME)
    assert said.startswith("wrong Python: ")
    assert "built for Python 3.12, and the target has 3.13" in said


def test_deleted_extension(explain: Explain) -> None:
    assert explain({}, NO_NAME) == (
        "missing extension: python/PIL/_imaging*.so is not in the layer"
    )


def test_deleted_libraries(explain: Explain) -> None:
    said = explain(
        {OURS: ARM},
        "libtiff-0123abcd.so.6.1.0: cannot open shared object file: No such file or directory",
    )
    assert said.startswith("missing shared library: libtiff-0123abcd.so.6.1.0 is neither")
    assert "pillow.libs" in said


def test_foreign_file_under_the_right_name(explain: Explain) -> None:
    said = explain(
        {OURS: X86},
        f"/opt/{OURS}: cannot open shared object file: No such file or directory",
    )
    assert "is a file for x86_64, despite its name" in said


def test_foreign_library_under_the_right_name(explain: Explain) -> None:
    said = explain(
        {OURS: ARM, "python/pillow.libs/libjpeg-1.so.62": X86},
        "libjpeg-1.so.62: cannot open shared object file: No such file or directory",
    )
    assert "wrong architecture: python/pillow.libs/libjpeg-1.so.62" in said


def test_pruned_module(explain: Explain) -> None:
    said = explain({"python/numpy/__init__.py": b""}, "No module named 'numpy.f2py'")
    assert said == "numpy.f2py is not in the layer, although numpy is: a file of it was left out"


def test_dependency_that_nothing_brings(explain: Explain) -> None:
    assert explain({}, "No module named 'olefile'") == (
        "nothing in the layer or the runtime brings olefile"
    )


def test_newer_c_library(explain: Explain) -> None:
    said = explain({}, "/lib64/libc.so.6: version `GLIBC_2.38' not found (required by x.so)")
    assert "needs GLIBC_2.38, which is newer than the runtime's" in said


def test_files_that_are_not_readable(explain: Explain) -> None:
    said = explain({}, "[Errno 13] Permission denied: '/opt/python/PIL/Image.py'")
    assert said.startswith("python/PIL/Image.py is readable only by its owner")


def test_text_in_the_place_of_a_library(explain: Explain) -> None:
    said = explain({OURS: b"version https://git-lfs"}, f"/opt/{OURS}: invalid ELF header")
    assert "damaged, or not an ELF file" in said


def test_the_first_link_of_the_chain_that_can_be_explained_is(explain: Explain) -> None:
    assert "olefile" in explain({}, "something unheard of", "No module named 'olefile'")


def test_what_is_not_known_is_not_guessed(explain: Explain) -> None:
    assert explain({}, "division by zero") == "None"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_imaging.cpython-313-aarch64-linux-gnu.so", ("3.13", "arm64")),
        ("x.cpython-39-x86_64-linux-gnu.so", ("3.9", "x86_64")),
        ("x.abi3.so", None),
        ("libtiff.so.6", None),
    ],
)
def test_names_of_extensions(name: str, expected: tuple[str, str] | None) -> None:
    assert named_for(name) == expected

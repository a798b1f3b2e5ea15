import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from layersmith.assemble.strip import strip
from layersmith.base import elf

from tests.integration.audit import host
from tests.support.breakages import Wheelhouse, pillow

NUMPY = "numpy==2.3.5"
"""A wheel whose libraries patchelf has rewritten, which is what old binutils broke."""

USE = """
import io
from PIL import Image, ImageDraw, ImageFont
image = Image.new("RGB", (64, 48), (9, 99, 199))
ImageDraw.Draw(image).text((2, 2), "layer", font=ImageFont.load_default(12))
for kind in ("PNG", "JPEG", "WEBP", "TIFF", "JPEG2000"):
    target = io.BytesIO()
    image.save(target, kind)
    target.seek(0)
    assert Image.open(target).resize((8, 8)).size == (8, 8)
import numpy
matrix = numpy.random.default_rng(1).random((60, 60))
assert numpy.allclose(matrix @ numpy.linalg.inv(matrix), numpy.eye(60))
assert abs(numpy.fft.fft(numpy.ones(8)).sum() - 8) < 1e-9
"""


def native(files: dict[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if elf.is_elf(content)}


def real(house: Wheelhouse, runtime: str, architecture: str) -> dict[str, bytes]:
    return house.files(NUMPY, runtime, architecture) | house.files(pillow(), runtime, architecture)


def loaded(content: bytes) -> list[tuple[Any, ...]]:
    """Return address, size and flags of every loaded segment, and the bytes behind its headers."""
    return [
        (s["p_vaddr"], s["p_memsz"], s["p_flags"], s.data()[1024 if s["p_offset"] == 0 else 0 :])
        for s in ELFFile(io.BytesIO(content)).iter_segments("PT_LOAD")
    ]


def test_real_files_keep_what_is_loaded(house: Wheelhouse) -> None:
    smaller = 0
    for path, content in native(real(house, "python3.13", "arm64")).items():
        result = strip(content)
        assert elf.read(result) == elf.read(content), path
        assert loaded(result) == loaded(content), path
        assert strip(result) is result, path
        smaller += len(content) - len(result)
    assert smaller > 4_000_000


@pytest.mark.skipif(host.UNFIT is not None, reason=str(host.UNFIT))
def test_stripped_files_work(house: Wheelhouse, tmp_path: Path) -> None:
    files = real(house, host.RUNTIME, host.ARCHITECTURE)
    stripped = {path: strip(content) for path, content in files.items()}
    assert sum(map(len, stripped.values())) < sum(map(len, files.values()))
    done = host.python(USE, host.unpack(stripped, tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    host.UNFIT is not None or shutil.which("strip") is None,
    reason="needs the binutils of a Lambda architecture to compare with",
)
def test_nearly_as_small_as_binutils_make_them(house: Wheelhouse, tmp_path: Path) -> None:
    """binutils also cut old string tables, which patchelf leaves behind, out of loaded segments."""
    ours = theirs = 0
    for path, content in native(real(house, host.RUNTIME, host.ARCHITECTURE)).items():
        copy = tmp_path / Path(path).name
        copy.write_bytes(content)
        subprocess.run(["strip", "--strip-unneeded", copy], check=True)
        theirs += copy.stat().st_size
        ours += len(strip(content))
    assert ours <= theirs * 1.05

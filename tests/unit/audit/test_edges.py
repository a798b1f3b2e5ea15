"""The edges of the audit's conditions: one more, one less, and who owns what."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.assemble.tree import Bytes, Entry
from layersmith.audit import content as contents
from layersmith.audit import findings, layout, policy
from layersmith.audit.findings import Finding, Severity
from layersmith.audit.judge import Declared, audit
from layersmith.base import runtimes

from tests.support import wheels
from tests.unit.audit.layers import EXTENSION, GOOD, RECORD, judge, layer

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = runtimes.get("python3.13")
MAGIC = policy.magic(PYTHON)
BYTECODE = "python/fast/__pycache__/__init__.cpython-313.pyc"
RECORD_PATH = "python/fast-1.0.dist-info/RECORD"


def finding(path: str) -> Finding:
    return Finding(
        code="MODE", severity=Severity.ERROR, path=path, distribution="fast",
        what="bad", cause="c", next="n",
    )  # fmt: skip


@pytest.mark.parametrize(("more", "dots"), [(findings.SHOWN, False), (findings.SHOWN + 1, True)])
def test_a_headline_names_so_many_files_and_no_more(more: int, dots: bool) -> None:
    text = findings.headline([finding(f"python/f{number}.so") for number in range(more + 1)])
    assert ", ..." in text if dots else ", ..." not in text
    assert f"{more} more files of fast" in text


def test_a_headline_counts_one_file_in_the_singular() -> None:
    text = findings.headline([finding("python/a.so"), finding("python/b.so")])
    assert "1 more file of fast" in text


@pytest.mark.parametrize(("length", "whole"), [(15, False), (16, True), (17, True)])
def test_bytecode_has_a_header_of_16_bytes(length: int, whole: bool) -> None:
    head = (MAGIC + (1).to_bytes(4, "little") + bytes(32))[:length]
    codes = [one.code for one in judge(layer(**{BYTECODE: head})).findings]
    assert codes == ([] if whole else ["PYC-MAGIC"])


def test_a_file_belongs_to_whom_the_build_says_then_to_whom_record_says() -> None:
    files = [
        Entry(path, Bytes(data), "builder" if path == EXTENSION else "")
        for path, data in layer(**{"python/fast/extra.txt": b"x", "lib/alone.so": b""}).items()
    ]
    gathered = contents.gather(files, PYTHON, "arm64")
    assert gathered.owner(EXTENSION) == "builder"
    assert gathered.owner("python/fast/__init__.py") == "fast"
    assert gathered.owner("python/fast/extra.txt") == "fast"
    assert gathered.owner("lib/alone.so") is None


@pytest.mark.parametrize(
    ("path", "opened"),
    [
        ("python/a/x.so", True),
        ("python/a/.so", True),
        ("python/a/noending", True),
        ("python/a/b.py", False),
        ("python/a/b.PY", False),
        ("python/bin/run.py", True),
        ("bin/run.py", True),
        ("python/a-1.dist-info/METADATA", False),
        ("python/a-1.dist-info/other", True),
        ("python/a/METADATA", True),
        ("python/a/.py", True),
        ("python/a/c.py", False),
    ],
)
def test_only_what_could_be_machine_code_is_opened(path: str, opened: bool) -> None:
    assert contents._worth_opening(path) is opened


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("size", [contents.HEAD - 1, contents.HEAD, contents.HEAD + 1, 5000])
def test_the_first_bytes_of_a_member_are_read_without_the_rest(
    tmp_path: Path, compression: int, size: int
) -> None:
    from layersmith.assemble import wheel

    data = bytes(number * 7 % 251 for number in range(size))
    path = wheels.make(tmp_path, "demo", {"demo/data.bin": data}, compression=compression)
    read = wheel.read(path, "demo")
    (entry,) = (entry for entry in read.entries if entry.path.endswith("data.bin"))
    assert contents._head(entry.source) == data[: contents.HEAD]


def test_a_library_that_record_lists_was_deleted() -> None:
    spec = GOOD.__class__(
        needed=("libc.so.6", "libgone-1.so"),
        versions=GOOD.versions,
        exports=GOOD.exports,
        debug=GOOD.debug,
    )
    record = f"{RECORD}fast.libs/libgone-1.so,,\n".encode()
    report = judge(layer(**{EXTENSION: spec.build(), RECORD_PATH: record}))
    text = "\n".join(f"{one.what} {one.cause}" for one in report.findings)
    assert "the folder that held it (python/fast.libs) was deleted" in text


def shadowing(*files: tuple[str, str]) -> list[Finding]:
    entries = [Entry(path, Bytes(b"x = 1\n"), owner) for path, owner in files]
    return list(audit(entries, PYTHON, "arm64", declared=Declared()).findings)


def test_who_hides_a_module_of_the_standard_library_is_named() -> None:
    (owned,) = shadowing(("python/dataclasses.py", "backport"))
    assert owned.code == "SHADOW-STDLIB"
    assert owned.next == "exclude backport for python3.13"
    (nobody,) = shadowing(("python/dataclasses.py", ""))
    assert nobody.next == "exclude it for python3.13"
    assert nobody.cause.startswith("a distribution is a backport")


@pytest.mark.parametrize("native", [True, False])
def test_a_managed_layer_mixes_compiled_files_where_there_are_some(native: bool) -> None:
    name, layers = "numpy", {"AWSSDKPandas": {"numpy": "2.5"}}
    files = {f"python/{name}-1.dist-info/RECORD": b"", f"python/{name}-1.dist-info/METADATA": b""}
    entries = [Entry(path, Bytes(data), name) for path, data in files.items()]
    if native:
        entries.append(Entry(f"python/{name}/_x.so", Bytes(GOOD.build()), name))
    found = audit(entries, PYTHON, "arm64", declared=Declared(managed=layers)).findings
    (conflict,) = (one for one in found if one.code == "MANAGED-CONFLICT")
    assert ("its compiled files and Python files" in conflict.cause) is native


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("fast/gone.py", True),
        ("fast/gone.txt", False),
        ("../../bin/gone.py", False),
        ("/abs/gone.py", False),
        ("fast-1.0.data/purelib/gone.py", False),
        ("fast-1.0.dist-info/gone.py", False),
    ],
)
def test_only_lost_code_matters(path: str, missing: bool) -> None:
    report = judge(layer(**{RECORD_PATH: f"{RECORD}{path},,\n".encode()}))
    assert [one.code for one in report.findings] == (["FILE-MISSING"] if missing else [])


@pytest.mark.parametrize(
    ("name", "safe"),
    [("python/a.py", True), ("/python/a.py", False), ("python\\a.py", False),
     ("python/../a.py", False), ("python/..a.py", True)],
)  # fmt: skip
def test_unsafe_paths_of_a_zip(tmp_path: Path, name: str, safe: bool) -> None:
    path = tmp_path / "layer.zip"
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    info.external_attr = 0o100644 << 16
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr(info, b"x")
    path.write_bytes(memory.getvalue())
    with zipfile.ZipFile(path) as archive:
        found = [one.code for one in layout._archive(archive.infolist())]
    assert found == ([] if safe else ["PATH-UNSAFE"])

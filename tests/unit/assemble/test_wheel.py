from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.assemble import wheel
from layersmith.base.runtimes import get
from layersmith.errors import BuildError
from layersmith.plan import Target

from tests.support import wheels

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.config.models import Layer


@pytest.fixture
def target(layer: Layer) -> Target:
    return Target("demo", get("python3.13"), "arm64", layer)


def test_members_lie_below_python_and_read_back(tmp_path: Path) -> None:
    path = wheels.make(tmp_path, "demo", {"demo/__init__.py": b"x = 1\n" * 50, "one.py": b""})
    read = wheel.read(path, "demo")
    contents = {entry.path: entry.source.read() for entry in read.entries}
    assert contents["python/demo/__init__.py"] == b"x = 1\n" * 50
    assert contents["python/one.py"] == b""
    assert read.dist_info == "demo-1.0.dist-info"
    assert read.modules == ["demo", "one"]


def test_a_stored_member_reads_back(tmp_path: Path) -> None:
    path = wheels.make(tmp_path, "demo", {"demo.py": b"abc"}, compression=zipfile.ZIP_STORED)
    entry = next(e for e in wheel.read(path, "demo").entries if e.path == "python/demo.py")
    assert entry.source.read() == b"abc"


def test_modes_are_taken_over(tmp_path: Path) -> None:
    path = wheels.make(
        tmp_path, "demo", {"demo/tool": b"#!x", "demo/a.py": b""}, executables=["demo/tool"]
    )
    modes = {e.inner: e.executable for e in wheel.read(path, "demo").entries}
    assert modes["demo/tool"]
    assert not modes["demo/a.py"]


def test_scripts_and_headers_stay_out_and_data_goes_in(tmp_path: Path) -> None:
    files = {
        "demo-1.0.data/scripts/tool": b"#!python\n",
        "demo-1.0.data/headers/demo.h": b"",
        "demo-1.0.data/purelib/demo.py": b"y = 2",
        "demo-1.0.data/data/share/demo.txt": b"text",
    }
    read = wheel.read(wheels.make(tmp_path, "demo", files), "demo")
    inner = {entry.inner for entry in read.entries}
    assert {"demo.py", "share/demo.txt"} <= inner
    assert {removed.path.rsplit("/", 1)[1] for removed in read.removed} == {"tool", "demo.h"}
    assert not any("tool" in path or path.endswith(".h") for path in inner)


def test_a_link_becomes_the_file_that_it_points_to(tmp_path: Path) -> None:
    path = wheels.make(
        tmp_path,
        "demo",
        {"demo/lib/real.so": b"binary"},
        links={"demo/link.so": "lib/real.so", "demo/lib/chain.so": "../link.so"},
    )
    contents = {e.inner: e.source.read() for e in wheel.read(path, "demo").entries}
    assert contents["demo/link.so"] == b"binary"
    assert contents["demo/lib/chain.so"] == b"binary"


@pytest.mark.parametrize("points_to", ["/etc/passwd", "../../outside", "missing.so", "link.so"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, points_to: str) -> None:
    path = wheels.make(tmp_path, "demo", {}, links={"demo/link.so": points_to})
    with pytest.raises(BuildError, match="not in the wheel"):
        wheel.read(path, "demo")


@pytest.mark.parametrize("name", ["/abs.py", "../up.py", "a/../../b.py", "a\\b.py"])
def test_a_path_that_leaves_the_layer_is_refused(tmp_path: Path, name: str) -> None:
    path = wheels.make(tmp_path, "demo", {name: b""})
    with pytest.raises(BuildError, match="leaves the layer"):
        wheel.read(path, "demo")


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(b"PK but no zip")
    with pytest.raises(BuildError, match="not a readable wheel"):
        wheel.read(path, "demo")


def test_a_changed_byte_in_a_member_is_found(tmp_path: Path) -> None:
    path = wheels.make(tmp_path, "demo", {"demo.py": b"abc"}, compression=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"abc", b"abd"))
    entry = next(e for e in wheel.read(path, "demo").entries if e.path == "python/demo.py")
    with pytest.raises(BuildError, match="CRC-32"):
        entry.source.read()


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("other", True),
        ('other ; platform_machine == "aarch64"', True),
        ('other ; platform_machine == "x86_64"', False),
        ('other ; python_version < "3.13"', False),
        ('other ; sys_platform == "win32"', False),
        ('other ; extra == "fast"', False),
    ],
)
def test_markers_are_judged_for_the_target(
    tmp_path: Path, target: Target, line: str, needed: bool
) -> None:
    read = wheel.read(wheels.make(tmp_path, "demo", {}, requires=[line]), "demo")
    assert bool(read.requirements(target)) is needed


def test_extras_add_requirements(tmp_path: Path, target: Target) -> None:
    path = wheels.make(tmp_path, "demo", {}, requires=['other ; extra == "fast"'])
    found = wheel.read(path, "demo").requirements(target, frozenset({"fast"}))
    assert [requirement.name for requirement in found] == ["other"]


def test_metadata_from_before_its_rules_is_read_as_uv_reads_it(
    tmp_path: Path, target: Target
) -> None:
    path = wheels.make(
        tmp_path,
        "demo",
        {"demo.py": b""},
        requires=["pytz (>dev)", "six (>=1.9.*) ; python_version >= '3'", "cafe; extra == 'é'"],
        encoding="latin-1",
    )
    found = wheel.read(path, "demo").requirements(target)
    assert [str(one) for one in found] == ["pytz>0.0.0dev", 'six>=1.9; python_version >= "3"']


def test_a_requirement_that_nobody_understands_names_its_wheel(
    tmp_path: Path, target: Target
) -> None:
    path = wheels.make(tmp_path, "demo", {"demo.py": b""}, requires=["six (what?)"])
    with pytest.raises(BuildError, match=r"demo-1\.0-.* requires 'six \(what\?\)'"):
        wheel.read(path, "demo").requirements(target)


def test_bytecode_without_sources_is_imported_by_the_same_names() -> None:
    sources = ["demo/__init__.py", "one.py", "fast.cpython-313-aarch64-linux-gnu.so", "data/x.txt"]
    compiled = [path.replace(".py", ".pyc") for path in sources]
    beside = ["demo/__pycache__/__init__.cpython-313.pyc", "__pycache__/one.cpython-313.pyc"]

    assert wheel.top_level_modules(sources) == ["demo", "fast", "one"]
    assert wheel.top_level_modules(compiled) == ["demo", "fast", "one"]
    assert wheel.top_level_modules([*sources, *beside]) == ["demo", "fast", "one"]

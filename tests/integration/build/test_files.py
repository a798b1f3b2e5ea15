"""Layers of files that no package brings, and layers that need them."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble.manifest import Manifest
from layersmith.base import runtimes
from layersmith.errors import ProofError
from layersmith.prove import twin
from layersmith.ship.release import bumps

from tests.support import wheels
from tests.support.envelopes import data_of
from tests.support.tiny_elf import EM_X86_64, TinyElf

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project

CONFIG = """\
defaults: {runtimes: ["python3.11"]}
layers:
  native:
    description: a library and a program
    version: 1.0.0
    strip: %s
    files: {lib/libx.so.1: out/libx.so.1, bin/tool: out/tool, etc: out/etc}
"""
NEEDS_X = TinyElf(needed=("libx.so.1", "libc.so.6"), exports=("PyInit__fast",), debug=b"")
USER = """\
  user:
    description: a package that needs the library
    version: 1.0.0
    requirements: [fast]
"""
ARN = "arn:aws:lambda:eu-west-1:123456789012:layer:x:3"


@pytest.fixture
def native(project: Project) -> Project:
    out = project.root / "out"
    (out / "etc").mkdir(parents=True)
    (out / "etc" / "x.ini").write_text("[x]\n")
    (out / "libx.so.1.2").write_bytes(TinyElf(soname="libx.so.1", debug=b"d" * 9000).build())
    (out / "libx.so.1").symlink_to("libx.so.1.2")
    (out / "tool").write_bytes(TinyElf(needed=("libx.so.1",), debug=b"d" * 9000).build())
    (out / "tool").chmod(0o755)
    project.write(CONFIG % "false")
    return project


def manifest(project: Project, layer: str) -> dict[str, Any]:
    path = project.dist / f"{layer}-1.0.0-python3.11-arm64.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_layer_of_files_alone_from_lock_to_audit(native: Project) -> None:
    native.run("lock")
    native.build()
    with zipfile.ZipFile(native.dist / "native-1.0.0-python3.11-arm64.zip") as archive:
        found = {i.filename: (i.file_size, i.external_attr >> 16) for i in archive.infolist()}
    sizes = {path: (native.root / "out" / path).stat().st_size for path in ("libx.so.1", "tool")}
    assert found == {
        "lib/libx.so.1": (sizes["libx.so.1"], 0o100644),
        "bin/tool": (sizes["tool"], 0o100755),
        "etc/x.ini": (4, 0o100644),
    }
    (report,) = data_of(native.run("audit", "--json").stdout)["reports"]
    assert (report["elf_files"], report["findings"]) == (2, [])
    (weighed,) = data_of(native.run("weigh", "--json").stdout)["reports"]
    assert weighed["layer"]["unzipped"] == sum(size for size, _ in found.values())


def test_they_are_stripped_only_where_the_layer_says_so(native: Project) -> None:
    native.lock()
    native.build()
    full = {file["path"]: file["size"] for file in manifest(native, "native")["files"]}
    native.write(CONFIG % "true")
    native.build()
    small = {file["path"]: file["size"] for file in manifest(native, "native")["files"]}
    assert {path: full[path] > size for path, size in small.items()} == {
        "bin/tool": True,
        "etc/x.ini": False,
        "lib/libx.so.1": True,
    }


def test_manifest_and_bill_of_materials_list_them(native: Project) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    native.lock()
    native.build()
    record = manifest(native, "native")
    inputs = {one["path"]: (one["source"], one["executable"]) for one in record["inputs"]["files"]}
    assert inputs == {
        "bin/tool": ("out/tool", True),
        "etc/x.ini": ("out/etc/x.ini", False),
        "lib/libx.so.1": ("out/libx.so.1", False),
    }
    (own,) = record["distributions"]
    assert (own["name"], own["origin"], own["modules"]) == ("files:", "files", [])
    text = (native.dist / "native-1.0.0-python3.11-arm64.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = json.loads(text)["components"]
    assert [(one["type"], one["name"]) for one in components] == [
        ("file", path) for path in sorted(inputs)
    ]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("libx.so.1.2", TinyElf(machine=EM_X86_64).build(), "ELF-MACHINE"),
        ("libx.so.1.2", TinyElf(versions={"libc.so.6": ("GLIBC_2.38",)}).build(), "VERSION-GLIBC"),
        ("libx.so.1.2", TinyElf(needed=("liby.so.1",)).build(), "NEEDED-MISSING"),
        ("tool", b"#!/home/me/venv/bin/python\n", "SHEBANG"),
    ],
)
def test_they_are_audited_like_the_rest(
    native: Project, name: str, content: bytes, code: str
) -> None:
    (native.root / "out" / name).write_bytes(content)
    native.lock()
    assert code in native.run("build", "--quiet", check=6).stderr
    assert not native.zips()


def test_a_release_without_a_file_is_a_major_one(native: Project) -> None:
    native.lock()
    native.build()
    old = Manifest.model_validate(manifest(native, "native"))
    fewer = [one for one in old.inputs.files if one.path != "bin/tool"]
    new = old.model_copy(update={"inputs": old.inputs.model_copy(update={"files": fewer})})
    assert bumps.changes({"a": old}, {"a": new}) == [
        bumps.ReleaseChange(bumps.Bump.MAJOR, "bin/tool removed")
    ]


def test_native_files_have_no_twin(native: Project, tmp_path: Path) -> None:
    native.lock()
    native.build()
    stem = native.dist / "native-1.0.0-python3.11-arm64"
    record = Manifest.model_validate(manifest(native, "native"))
    runtime = runtimes.get("python3.11")
    with pytest.raises(ProofError, match="holds native files that exist for arm64 only"):
        twin.make(stem.with_name(f"{stem.name}.zip"), record, runtime, "x86_64", tmp_path / "twin")


def test_a_missing_file_fails_its_target_alone(native: Project, tmp_path: Path) -> None:
    (native.root / "out" / "tool").unlink()
    native.write((CONFIG % "false") + USER.replace("[fast]", "[alpha]"))
    native.lock(wheels.make(tmp_path, "alpha", {"alpha.py": b"x = 1\n"}))
    done = native.run("build", "--quiet", check=5)
    assert "native-python3.11-arm64: files: there is no out/tool" in done.stderr
    assert [path.name for path in native.dist.glob("*.zip")] == ["user-1.0.0-python3.11-arm64.zip"]


@pytest.mark.parametrize(
    ("beside", "passes"),
    [
        ("", False),
        ("    beside: [native]\n", True),
        (f"    beside: [{{arn: '{ARN}', libraries: [libx.so.1]}}]\n", True),
        (f"    beside: [{{arn: '{ARN}', libraries: [liby.so.1]}}]\n", False),
    ],
)
def test_a_layer_beside_brings_what_is_missing(
    native: Project, tmp_path: Path, beside: str, passes: bool
) -> None:
    extension = "fast/_fast.cpython-311-aarch64-linux-gnu.so"
    wheel = wheels.make(tmp_path, "fast", {"fast/__init__.py": b"", extension: NEEDS_X.build()})
    native.write((CONFIG % "false") + USER + beside)
    native.lock(wheel)
    done = native.run("build", "--quiet", "--layer", "user", check=0 if passes else 6)
    assert ("needs libx.so.1" in done.stderr) is not passes
    if passes:
        native.run("audit", "user")

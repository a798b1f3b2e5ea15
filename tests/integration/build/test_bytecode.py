"""What each choice of bytecode leaves in a layer, and what it does to a package."""

from __future__ import annotations

import marshal
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.assemble import bytecode as compiler
from layersmith.assemble import manifest
from layersmith.assemble.tree import Bytes, Entry, Tree
from layersmith.base import runtimes
from layersmith.config.models import BytecodeMode

from tests.field import bytecode
from tests.support import wheels

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project

RUNTIME = f"python3.{sys.version_info[1]}"
CONFIG = f"""\
layers:
  demo:
    description: a layer for tests
    version: 1.0.0
    runtimes: ["{RUNTIME}"]
    requirements: [alpha]
"""
TEXT = b"What alpha does."
SOURCES = {"alpha.py": b'"' + TEXT + b'"\ndef double(x):\n    return 2 * x\n'}
READS_IT = {"alpha.py": SOURCES["alpha.py"] + b"summary = __doc__.strip()\n"}

CHOICES = [
    ("bytecode: none", "source", True),
    ("bytecode: unchecked-hash", "both", True),
    ("bytecode: only", "compiled", True),
    ("{bytecode: only, optimize: 1}", "compiled", True),
    ("{bytecode: only, optimize: 2}", "compiled", False),
    ("{bytecode: unchecked-hash, optimize: 2}", "both", False),
]
FILES = {
    "source": {"python/alpha.py"},
    "both": {
        "python/alpha.py",
        f"python/__pycache__/alpha.{sys.implementation.cache_tag}.pyc",
    },
    "compiled": {"python/alpha.pyc"},
}


def build(project: Project, folder: Path, sources: dict[str, bytes], keys: str) -> Path:
    """Build a layer of alpha alone, and return its zip."""
    lines = keys.strip("{}").split(", ")
    project.write(CONFIG + "".join(f"    {line}\n" for line in lines))
    project.lock(wheels.make(folder, "alpha", sources))
    project.build()
    return project.dist / f"demo-1.0.0-{RUNTIME}-arm64.zip"


@pytest.mark.parametrize(("keys", "files", "documented"), CHOICES)
def test_every_choice_imports_and_holds_what_it_says(
    project: Project, tmp_path: Path, keys: str, files: str, documented: bool
) -> None:
    path = build(project, tmp_path, SOURCES, keys)
    with zipfile.ZipFile(path) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        compiled = [archive.read(name) for name in inside if name.endswith(".pyc")]
        archive.extractall(tmp_path / "opt")
    assert inside == FILES[files]
    assert all((TEXT in one) is documented for one in compiled)
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", "import alpha; print(alpha.double(21), alpha.__doc__)"],
        env={"PYTHONPATH": str(tmp_path / "opt/python")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"42 {TEXT.decode() if documented else None}"


def test_tracebacks_keep_the_lines_of_packages_and_the_columns_of_a_function(
    project: Project, tmp_path: Path
) -> None:
    with zipfile.ZipFile(build(project, tmp_path, SOURCES, "bytecode: only")) as archive:
        layer = archive.read("python/alpha.pyc")
    source = Entry("python/alpha.py", Bytes(SOURCES["alpha.py"]), "alpha")
    tree = Tree({source.path: source})
    compiler.add(tree, runtimes.get(RUNTIME), BytecodeMode.ONLY, place=compiler.TASK)
    (function,) = (one.source.read() for one in tree)
    for compiled, has_columns in ((layer, False), (function, True)):
        code = next(
            one for one in marshal.loads(compiled[16:]).co_consts if hasattr(one, "co_code")
        )
        lines, _, columns, _ = zip(*code.co_positions(), strict=True)
        assert {2, 3} <= set(lines)
        assert any(column is not None for column in columns) is has_columns


@pytest.mark.parametrize("optimize", [0, 2])
def test_a_package_that_reads_its_docstring_does_not_pass_without(
    project: Project, tmp_path: Path, optimize: int
) -> None:
    build(project, tmp_path, READS_IT, f"{{bytecode: only, optimize: {optimize}}}")
    done = project.run("smoke", "--runner", "host", check=8 if optimize else 0)
    said = " ".join((done.stdout + done.stderr).split())
    assert ("'NoneType' object has no attribute 'strip'" in said) is bool(optimize)
    assert ("(`optimize: 2`)" in said) is bool(optimize)


def test_the_field_run_measures_the_zips_that_a_build_writes(
    project: Project, tmp_path: Path
) -> None:
    sources = {**SOURCES, "alpha_template.py": b"print '{{ name }}'\n", "alpha.txt": b"x" * 99}
    layer = build(project, tmp_path, sources, "bytecode: unchecked-hash").rename(tmp_path / "a.zip")
    record = manifest.read(project.dist / f"demo-1.0.0-{RUNTIME}-arm64.json")
    written = bytecode.write(layer, record, runtimes.get(RUNTIME), tmp_path)
    assert list(written) == list(bytecode.CHOICES)
    for name, (mode, optimize) in bytecode.CHOICES.items():
        keys = f"bytecode: {mode}" + (f", optimize: {optimize}" if optimize else "")
        built = build(project, tmp_path, sources, keys)
        assert written[name].read_bytes() == built.read_bytes()


def test_a_wheel_is_compiled_once_for_all_layers(project: Project, tmp_path: Path) -> None:
    """A second layer takes what the first had compiled; only what was pruned there is compiled."""
    text = CONFIG.replace("  demo:", "  {}:")
    sources = {f"alpha/{name}.py": b"X = 1\n" for name in ("__init__", "one", "two")}
    sources["alpha/broken.py"] = b"print 'no longer Python'\n"
    made = wheels.make(tmp_path, "alpha", sources)
    first = text.format("first") + '    prune: {add: ["alpha/two.py"]}\n'
    project.write(first)
    project.lock(made)
    project.build()
    packs = project.cache / "bytecode"
    before = {path: path.read_bytes() for path in packs.rglob("*.zip")}
    assert len(before) == 1
    project.write(first + text.format("second").partition("layers:\n")[2])
    project.lock(made)
    project.build()
    after = {path: path.read_bytes() for path in packs.rglob("*.zip")}
    (new,) = after.keys() - before.keys()
    assert after == {**before, new: after[new]}
    tag = sys.implementation.cache_tag
    with zipfile.ZipFile(new) as archive:
        assert archive.namelist() == [f"python/alpha/__pycache__/two.{tag}.pyc"]
    with zipfile.ZipFile(project.dist / f"second-1.0.0-{RUNTIME}-arm64.zip") as archive:
        compiled = {name for name in archive.namelist() if name.endswith(".pyc")}
    names = ("__init__", "one", "two")
    assert compiled == {f"python/alpha/__pycache__/{name}.{tag}.pyc" for name in names}
    new.write_bytes(b"damaged")
    project.run("build", "--force")
    assert new.read_bytes() == after[new]

"""Files beside layers.yaml: how they are found, refused and put into the tree."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.assemble import describe, digest, files
from layersmith.assemble.collect import Part
from layersmith.assemble.tree import Bytes, Entry, Tree
from layersmith.base import runtimes
from layersmith.config.models import Layer
from layersmith.errors import BuildError
from layersmith.plan import Target

from tests.support.tiny_elf import TinyElf

if TYPE_CHECKING:
    from pathlib import Path


def target(named: dict[str, str], **more: Any) -> Target:
    layer = Layer(description="d", version="1.0.0", runtimes=["python3.13"], files=named)
    return Target("demo", runtimes.get("python3.13"), "arm64", layer, **more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "repo"
    (made / "native" / "deep").mkdir(parents=True)
    (made / "native" / "libx.so.1.0").write_bytes(b"library")
    (made / "native" / "libx.so.1").symlink_to("libx.so.1.0")
    (made / "native" / "deep" / "tool").write_bytes(b"program")
    (made / "native" / "deep" / "tool").chmod(0o700)
    (tmp_path / "secret").write_bytes(b"secret")
    return made


def found(named: dict[str, str], root: Path) -> dict[str, tuple[bytes, bool]]:
    return {one.path: (one.content, one.executable) for one in files.read(target(named), root)}


def test_files_and_folders_with_their_modes(root: Path) -> None:
    assert found({"bin/x": "native/deep/tool", "opt": "native/deep"}, root) == {
        "bin/x": (b"program", True),
        "opt/tool": (b"program", True),
    }


def test_links_inside_the_folder_of_layers_yaml_are_copied(root: Path) -> None:
    (root / "native" / "again").symlink_to("deep")
    assert found({"lib/libx.so.1": "native/libx.so.1"}, root) == {
        "lib/libx.so.1": (b"library", False)
    }
    assert found({"x": "native/again"}, root) == {"x/tool": (b"program", True)}


@pytest.mark.parametrize(
    ("link", "leads_to", "said"),
    [
        ("out", "../../secret", "native/out is a link that leaves the folder of layers.yaml"),
        ("up", "../..", "native/up is a link that leaves"),
        ("gone", "nothing", "native/gone is a link that leads nowhere"),
        ("self", "self", "native/self"),
        ("loop", ".", "native/loop is a link to a folder that holds it"),
    ],
)
def test_links_that_are_refused(root: Path, link: str, leads_to: str, said: str) -> None:
    (root / "native" / link).symlink_to(leads_to)
    with pytest.raises(BuildError, match=said):
        files.read(target({"lib": "native"}), root)


def test_what_else_is_refused(root: Path) -> None:
    (root / "empty").mkdir()
    os.mkfifo(root / "pipe")
    (root / "native" / "line\nbreak").write_bytes(b"")
    cases = {
        "there is no native/liby.so": {"lib/liby.so": "native/liby.so"},
        "empty is an empty folder": {"lib": "empty"},
        "pipe is neither a file nor a folder": {"lib/pipe": "pipe"},
        "cannot be the path of a file in a layer": {"lib": "native"},
        "opt/tool is brought by both": {"opt": "native/deep", "opt/tool": "native/deep/tool"},
    }
    for said, named in cases.items():
        with pytest.raises(BuildError, match=said) as raised:
            files.read(target(named), root)
        assert raised.value.target == "demo-python3.13-arm64"


def test_the_inputs_digest_follows_bytes_modes_and_paths(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "has_interpreter", lambda _: True)

    def of(path: str) -> str:
        return digest.of_target(target({path: "native/deep/tool"}), "lock", root, [])

    tool = root / "native" / "deep" / "tool"
    seen = {of("bin/tool"), of("bin/other")}
    tool.chmod(0o600)
    seen.add(of("bin/tool"))
    tool.write_bytes(b"changed")
    seen.add(of("bin/tool"))
    assert len(seen) == 4
    before = of("bin/tool")
    tool.chmod(0o644)  # the same in a zip
    assert of("bin/tool") == before


def test_the_inputs_digest_follows_what_lies_beside(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "has_interpreter", lambda _: True)

    def of(named: dict[str, str]) -> str:
        one = target({"x": "native/deep"}, others={"other": target(named).settings})
        return digest.of_target(one, "lock", root, [])

    assert of({"lib/a.so": "native/libx.so.1"}) != of({"lib/b.so": "native/libx.so.1"})


def test_only_lib_of_the_layers_beside_brings_libraries(root: Path) -> None:
    other = target({"lib/libx.so.1": "native/libx.so.1", "lib/deep/y.so": "native/libx.so.1"})
    layer = Layer(
        description="d",
        version="1.0.0",
        runtimes=["python3.13"],
        requirements=["x"],
        beside=[
            "other",
            {"arn": "arn:aws:lambda:eu-west-1:123456789012:layer:z:1", "libraries": ["z.so"]},
        ],
    )
    mine = Target("mine", other.runtime, "arm64", layer, {"other": other.settings})
    assert files.provided(mine, root) == {"libx.so.1", "z.so"}


@pytest.mark.parametrize(
    ("there", "mine"),
    [
        ("python/a/data.bin", "python/a/data.bin"),
        ("python/a/data.bin", "python/a"),
        ("python/a", "python/a/data.bin"),
    ],
)
def test_collisions_with_packages_are_refused_even_with_equal_bytes(
    root: Path, there: str, mine: str
) -> None:
    tree = Tree()
    tree.add(Entry(there, Bytes(b"program"), "alpha"))
    one = target({mine: "native/deep/tool"})
    with pytest.raises(BuildError, match=f"{mine} collides with {there} of alpha"):
        files.add(tree, files.read(one, root), one)


def test_bytecode_of_this_machine_is_left_out_and_recorded(root: Path) -> None:
    folder = root / "mine" / "__pycache__"
    folder.mkdir(parents=True)
    (folder / "m.cpython-313.pyc").write_bytes(b"stale")
    (root / "mine" / "m.py").write_bytes(b"x = 1\n")
    tree, one = Tree(), target({"python/mine": "mine"})
    before = files.digests(one, root)
    files.add(tree, files.read(one, root), one)
    assert set(tree.entries) == {"python/mine/m.py"}
    assert [(r.path, r.rule) for r in tree.removed] == [
        ("python/mine/__pycache__/m.cpython-313.pyc", "caches")
    ]
    (folder / "m.cpython-313.pyc").write_bytes(b"other")
    assert files.digests(one, root) == before


def test_a_program_counts_as_native_whatever_its_name(root: Path) -> None:
    (root / "prog").write_bytes(TinyElf().build())
    own = files.read(target({"bin/prog": "prog", "lib/libx.so.1": "native/libx.so.1"}), root)
    assert {one.path: describe.is_native(one.entry) for one in own} == {
        "bin/prog": True,
        "lib/libx.so.1": False,
    }


def test_libraries_are_not_modules(root: Path) -> None:
    tree = Tree()
    one = target({"lib/libx.so": "native/libx.so.1", "python/y.py": "native/deep/tool"})
    files.add(tree, files.read(one, root), one)
    part = Part(files.OWNER, "0+abc", "files")
    sizes = dict.fromkeys(tree.entries, 1)
    (record,) = describe.distributions(tree, [part], {}, sizes)
    assert (record.modules, record.files, record.origin) == (["y"], 2, "files")


def test_modules_are_read_without_what_lies_beside_them(root: Path) -> None:
    for name in ("__init__.py", ".hidden", "old.pyc", "data.csv"):
        (root / "native" / name).write_bytes(b"")
    (root / "native" / "deep" / "link.py").symlink_to("../__init__.py")
    layer = target({"etc": "native"}).settings.model_copy(
        update={"files": {}, "modules": ["native/", "native/__init__.py"]}
    )
    demo = replace(target({"etc": "native"}), settings=layer)
    read = {one.path: one.owner for one in files.modules(demo, root)}
    inside = ("__init__.py", "data.csv", "libx.so.1", "libx.so.1.0", "deep/link.py", "deep/tool")
    assert set(read) == {"python/__init__.py", *(f"python/native/{name}" for name in inside)}
    assert set(read.values()) == {"modules:"}
    before = files.digests(demo, root)
    (root / "native" / "data.csv").write_bytes(b"changed")
    assert files.digests(demo, root) != before
    (root / "native" / "out").symlink_to("../../secret")
    with pytest.raises(BuildError, match="modules: native/out is a link that leaves"):
        files.modules(demo, root)

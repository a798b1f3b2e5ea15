"""What a lock is resolved from: requirements files, local packages, and the digest over all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from layersmith import lock
from layersmith.errors import LockError
from layersmith.lock import document, requirements
from layersmith.lock import inputs as lockinputs

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import MakeTarget

PROJECT = """\
[project]
name = "Vector.Common"
version = "1.0.0"
dependencies = ["boto3>=1.35"]
[project.optional-dependencies]
images = ["pillow"]
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "common"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"requirements": ["pillow>=11"]},
        {"requirements": ["pillow", "numpy"]},
        {"requirements": ["pillow; python_version < '3.13'"]},
        {"constraints": ["numpy<2"]},
        {"overrides": ["numpy<2"]},
        {"extras": {"pillow": ["xmp"]}},
        {"build": {"pillow": {}}},
        {"build": {"pillow": {"version": "11.0"}}},
        {"packages": ["common"]},
        {"runtime": "python3.12"},
        {"runtime": "python3.11"},
        {"architecture": "x86_64"},
    ],
)
def test_the_digest_follows_every_input(
    make_target: MakeTarget, package: Path, change: dict[str, Any]
) -> None:
    before = lock.inputs_digest(make_target(), package.parent)
    assert lock.inputs_digest(make_target(**change), package.parent) != before


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2.0.0"},
        {"description": "other"},
        {"excludes": {"numpy": "not needed"}},
        {"budgets": {"zipped": 5}},
        {"build": {}},
        {"prune": {"defaults": False}},
    ],
)
def test_the_digest_follows_nothing_else(
    make_target: MakeTarget, tmp_path: Path, change: dict[str, Any]
) -> None:
    before = lock.inputs_digest(make_target(), tmp_path)
    assert lock.inputs_digest(make_target(**change), tmp_path) == before


def test_the_order_of_requirements_does_not_matter(make_target: MakeTarget, tmp_path: Path) -> None:
    one = make_target(requirements=["numpy", "pillow"])
    two = make_target(requirements=["pillow", "numpy", "pillow"])
    assert lock.inputs_digest(one, tmp_path) == lock.inputs_digest(two, tmp_path)


def test_the_same_requirements_from_a_file_are_the_same(
    make_target: MakeTarget, tmp_path: Path
) -> None:
    (tmp_path / "requirements.txt").write_text("# comment\npillow\n")
    inline, file = make_target(), make_target(requirements={"file": "requirements.txt"})
    assert lock.inputs_digest(inline, tmp_path) == lock.inputs_digest(file, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ('"boto3>=1.35"', '"boto3>=1.36"', True),
        ('"pillow"', '"pillow>=11"', True),
        ('"Vector.Common"', '"other"', True),
        ("[project.opt", 'requires-python = ">=3.12"\n[project.opt', True),
        ('"1.0.0"', '"1.0.1"', False),
        ("[project]", "# comment\n[project]", False),
    ],
)
def test_the_digest_follows_what_a_local_package_depends_on(
    make_target: MakeTarget, package: Path, old: str, new: str, changes: bool
) -> None:
    target = make_target(packages=["common"])
    before = lock.inputs_digest(target, package.parent)
    (package / "pyproject.toml").write_text(PROJECT.replace(old, new, 1))
    assert (lock.inputs_digest(target, package.parent) != before) == changes


DYNAMIC = '[project]\nname = "common"\ndynamic = ["version", "dependencies"]\n'


@pytest.mark.parametrize(
    ("tool", "files", "changed"),
    [
        ("", {}, "setup.cfg"),
        ("", {}, "setup.py"),
        (
            'setuptools.dynamic.dependencies = {file = ["reqs/base.in"]}',
            {"reqs/base.in": "six"},
            "reqs/base.in",
        ),
        (
            'setuptools.dynamic.dependencies = {file = "requirements.in"}',
            {"requirements.in": "-r more/common.txt\nsix", "more/common.txt": "-r deep.txt"},
            "more/deep.txt",
        ),
        ("", {"setup.cfg": "install_requires = file: needs.txt", "needs.txt": ""}, "needs.txt"),
        ("", {"setup.py": "exec(open('src/common/_needs.py').read())"}, "src/common/_needs.py"),
        ("", {"setup.py": "from needed import NEEDED"}, "needed.py"),
        ("hatch.metadata.hooks.requirements_txt = {}", {}, "requirements.txt"),
        ('hatch.metadata.hooks.custom.path = "tools/hook.py"', {}, "tools/hook.py"),
        ('x = 1\n[build-system]\nbackend-path = ["backend"]', {}, "backend/own.py"),
    ],
)
def test_with_dynamic_dependencies_every_file_that_is_named_decides(
    make_target: MakeTarget, package: Path, tool: str, files: dict[str, str], changed: str
) -> None:
    written = {"pyproject.toml": f"{DYNAMIC}[tool]\n{tool}\n", **files}
    for name, text in written.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    (package / changed).parent.mkdir(parents=True, exist_ok=True)
    (package / changed).touch()
    target = make_target(packages=["common"])
    before = lock.inputs_digest(target, package.parent)
    (package / changed).write_text("boto3\n")
    assert lock.inputs_digest(target, package.parent) != before


@pytest.mark.parametrize(
    ("tool", "changed"),
    [
        ('setuptools.dynamic.version.file = "VERSION"', "VERSION"),
        ('setuptools.dynamic.readme.file = "README.md"', "README.md"),
        ('x.y = "src/common"', "src/common/code.py"),
        (f'x.y = "{"long" * 200}"', "notes.txt"),
    ],
)
def test_with_dynamic_dependencies_other_files_do_not_matter(
    make_target: MakeTarget, package: Path, tool: str, changed: str
) -> None:
    (package / "pyproject.toml").write_text(f"{DYNAMIC}[tool]\n{tool}\n")
    (package / changed).parent.mkdir(parents=True, exist_ok=True)
    (package / changed).touch()
    target = make_target(packages=["common"])
    before = lock.inputs_digest(target, package.parent)
    (package / changed).write_text("boto3\n")
    assert lock.inputs_digest(target, package.parent) == before


@pytest.mark.parametrize(
    "text", ["", "[project]\n", "not toml", "project = 5\n", "[project]\nname=1\n"]
)
def test_a_local_package_without_a_name_is_refused(
    make_target: MakeTarget, package: Path, text: str
) -> None:
    (package / "pyproject.toml").write_text(text)
    with pytest.raises(LockError, match="local package common cannot be read") as caught:
        lockinputs.collect(make_target(packages=["common"]), package.parent)
    assert caught.value.target == "demo-python3.13-arm64"


def test_extras_are_added_to_requirements(make_target: MakeTarget, package: Path) -> None:
    target = make_target(
        requirements=["Pillow[fpx]>=11; python_version > '3'", "numpy"],
        packages=["common"],
        extras={"pillow": ["xmp"], "vector-common": ["images"]},
    )
    inputs = lockinputs.collect(target, package.parent)
    assert inputs.requirements == ['Pillow[fpx,xmp]>=11; python_version > "3"', "numpy"]
    assert inputs.extras["vector-common"] == ["images"]
    assert list(inputs.packages) == ["vector-common"]


def test_extras_of_something_else_are_refused(make_target: MakeTarget, tmp_path: Path) -> None:
    with pytest.raises(LockError, match="`extras` names httpx, which is neither a requirement"):
        lockinputs.collect(make_target(extras={"httpx": ["http2"]}), tmp_path)


def written(target_lock: document.Lock, path: Path) -> None:
    document.write(target_lock, path, path.stem)


def test_check_names_what_changed(make_target: MakeTarget, tmp_path: Path) -> None:
    target = make_target()
    inputs = lockinputs.collect(target, tmp_path)
    good = document.Lock([], inputs.digest, inputs.parts)
    written(good, lock.lock_path(target, tmp_path))
    assert lock.check(target, tmp_path) == good
    changed = make_target(requirements=["pillow>=11"], constraints=["numpy<2"])
    with pytest.raises(LockError, match="constraints, requirements changed") as caught:
        lock.check(changed, tmp_path)
    assert caught.value.exit_code == 4
    assert "nox -s lock -- --layer demo" in (caught.value.hint or "")


def test_a_requirements_file_may_nest_and_continue(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "top.txt").write_text(
        "# top\n\npillow>=11  # why\nnumpy \\\n  >=2, \\\n  <3\n-r sub/more.txt\n"
        "url-like; python_version < '3'#not a comment\n"
    )
    (tmp_path / "sub" / "more.txt").write_text("requests\n--requirement=last.txt")
    (tmp_path / "sub" / "last.txt").write_bytes(b"\xef\xbb\xbfsix")
    with pytest.raises(LockError, match=r"top\.txt:8: .* is not a requirement"):
        requirements.read(tmp_path / "top.txt", tmp_path)
    text = (tmp_path / "top.txt").read_text().replace("'#not", "' #")
    (tmp_path / "top.txt").write_text(text)
    found = requirements.read(tmp_path / "top.txt", tmp_path).requirements
    assert [line.split(";")[0].split(">")[0].strip() for line in found] == [
        "pillow", "numpy", "requests", "six", "url-like",
    ]  # fmt: skip


HASHED = """\
# exported
--require-hashes
idna==3.10 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
    # via foo
six==1.16.0 ; python_version >= "3.8" --hash sha256:{c} --hash=sha512:feed
-c pins.txt
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_hashes_constraints_and_encodings(tmp_path: Path, encoding: str) -> None:
    text = HASHED.format(a="a" * 64, b="b" * 64, c="c" * 64)
    (tmp_path / "top.txt").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    (tmp_path / "pins.txt").write_text("numpy<2\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("pillow<12\n")
    found = requirements.read(tmp_path / "top.txt", tmp_path)
    assert found.requirements == ["idna==3.10", 'six==1.16.0 ; python_version >= "3.8"']
    assert found.constraints == ["numpy<2", "pillow<12"]
    assert found.hashes == {"idna": {"a" * 64, "b" * 64}, "six": {"c" * 64}}


def test_hashes_and_constraints_of_a_file_are_inputs(
    make_target: MakeTarget, tmp_path: Path
) -> None:
    (tmp_path / "r.txt").write_text(f"a==1 --hash=sha256:{'a' * 64}\n-c c.txt\n")
    (tmp_path / "c.txt").write_text(f"b<2\nA==1 --hash=sha256:{'b' * 64}\n")
    target = make_target(requirements={"file": "r.txt"})
    inputs = lockinputs.collect(target, tmp_path)
    assert inputs.constraints == ["A==1", "b<2"]
    assert inputs.hashes == {"a": ["a" * 64, "b" * 64]}
    (tmp_path / "c.txt").write_text("b<2\nA==1\n")
    assert lockinputs.collect(target, tmp_path).parts["hashes"] != inputs.parts["hashes"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("--index-url https://me:pass@h.test/\n", "option --index-url is", "tool.uv.index"),
        ("-i https://example.org/simple/\n", "option -i is", "tool.uv.index"),
        ("--extra-index-url=https://example.org/\n", "--extra-index-url is", "tool.uv.index"),
        ("--find-links=wheels/\n", "--find-links is not used", "`find-links`"),
        ("--no-binary :all:\n", "--no-binary is not used", "`build`"),
        ("--use-feature=x\n", "--use-feature is not used", "remove it"),
        ("a==1 --global-option=x\n", "--global-option is not used", "`build`"),
        ("pillow --hash=sha256:abc\n", "'sha256:abc' is not a SHA-256", ""),
        (f"pillow --hash=sha512:{'a' * 128}\n", "hold no SHA-256", "export"),
        ("-e ./here\n", "./here is a local folder", "packages: [./here]"),
        ("-e .\n", "[.] is a local folder", "packages: [.]"),
        ("./here\n", "./here is a local folder", "packages: [./here]"),
        ("lib/here/\n", "lib/here/ is a local folder", "packages: [lib/here/]"),
        ("file:///here\n", "file:///here is a local folder", "`packages`"),
        ("./x-1-py3-none-any.whl\n", "x-1-py3-none-any.whl is a file", "`find-links`"),
        ("x @ file:///x-1-py3-none-any.whl\n", "x is a local file or folder", ""),
        ("x @ svn+https://example.org/x\n", "URL of x is not that of a wheel", ""),
        ("x @ git+https://me:pass@h.test/x\n", "holds a login", ""),
        ("a b\n", "'a b' is not a requirement", ""),
        ("a\0b\n", "top.txt cannot be read: it holds NUL", "UTF-8"),
        ("-r top.txt\n", "top.txt includes itself", ""),
        ("-rmissing.txt\n", "missing.txt cannot be read", ""),
        ("-c ../outside.txt\n", "outside.txt lies outside", ""),
    ],
)  # fmt: skip
def test_what_a_requirements_file_may_not_hold(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    (tmp_path / "root").mkdir()
    path = tmp_path / "root" / "top.txt"
    path.write_text(text)
    with pytest.raises(LockError) as refused:
        requirements.read(path, tmp_path / "root")
    assert re.search(message, refused.value.message)
    assert hint in (refused.value.hint or "")
    assert "pass@" not in f"{refused.value.message}{refused.value.hint}"


def test_urls_and_repositories(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text(
        "a @ https://example.org/a-1-py3-none-any.whl#sha256=0\n"
        "B.b[x] @ git+https://example.org/b.git@v1#subdirectory=p ; python_version > '3'\n"
        "-e git+ssh://git@example.org/c.git@feature/x#egg=c&subdirectory=q\n"
        "git+https://example.org/d/#egg=d[more]\n"
        "e\n"
    )
    lines = requirements.read(tmp_path / "r.txt", tmp_path).requirements
    found = requirements.direct(lines)
    assert found == {
        "a": "https://example.org/a-1-py3-none-any.whl#sha256=0",
        "b-b": "git+https://example.org/b.git@v1#subdirectory=p",
        "c": "git+ssh://git@example.org/c.git@feature/x#subdirectory=q",
        "d": "git+https://example.org/d/",
    }
    assert [requirements.at_commit(found[name], "f00") for name in ("b-b", "c", "d")] == [
        "git+https://example.org/b.git@f00#subdirectory=p",
        "git+ssh://git@example.org/c.git@f00#subdirectory=q",
        "git+https://example.org/d/@f00",
    ]


def test_every_bad_line_is_in_one_report(tmp_path: Path) -> None:
    (tmp_path / "top.txt").write_text("good\n-e .\n-r more.txt\n--pre\n")
    (tmp_path / "more.txt").write_text("\nno requirement\n")
    with pytest.raises(LockError) as refused:
        requirements.read(tmp_path / "top.txt", tmp_path)
    error = refused.value
    assert [(part.place[:2]) for part in error.parts] == [
        ("top.txt", 2), ("more.txt", 2), ("top.txt", 4),
    ]  # fmt: skip
    title, folder, line, option = error.message.splitlines()
    assert title == "top.txt has 3 problems:"
    assert folder.startswith("  top.txt:2: . is a local folder")
    assert folder.endswith(" (list it under `packages` of layers.yaml: packages: [.])")
    assert line.startswith("  more.txt:2: 'no requirement' is not a requirement (PEP 508): ")
    assert not line.endswith(")")  # there is no hint
    assert option.startswith("  top.txt:4: the option --pre is not used here (it belongs in")


def test_what_few_layers_have_is_a_part_only_where_there_is_some(
    make_target: MakeTarget, package: Path
) -> None:
    root = package.parent
    usual = {"requirements", "constraints", "extras", "build", "packages", "runtime", "platform"}
    assert set(lockinputs.collect(make_target(), root).parts) == usual
    (root / "pyproject.toml").write_text("[tool.uv.sources]\npillow = {index = 'own'}\n", "utf-8")
    (root / "poetry.lock").write_text('[[package]]\nname = "pillow"\nversion = "11.0"\n', "utf-8")
    target = make_target(
        overrides=["numpy<2"],
        constraints={"file": "poetry.lock"},
        **{"cool-down": "7d"},
    )
    found = lockinputs.collect(target, root, held=["pillow"])
    assert set(found.parts) == {*usual, "sources", "overrides", "cool-down", "pins"}
    assert found.pins == {"pillow": "11.0"}
    # A version of what the lock does not hold decides nothing.
    none = lockinputs.collect(target, root)
    assert none.parts["pins"] != found.parts["pins"]


def project(root: Path, *lines: str) -> dict[str, Any]:
    """Write a pyproject.toml with dependencies on a, b and c; return what a layer asks for."""
    text = "[project]\nname = 'p'\nversion = '1'\ndependencies = ['a', 'b', 'c @ https://x.test/c.zip']\n"
    sources = "".join(f"{line}\n" for line in lines)
    (root / "pyproject.toml").write_text(f"{text}[tool.uv.sources]\n{sources}", "utf-8")
    return {"requirements": {"file": "pyproject.toml"}}


@pytest.mark.parametrize(
    ("source", "requirement"),
    [
        ("url = 'https://x.test/a.zip'", "a @ https://x.test/a.zip"),
        ("git = 'https://x.test/a', tag = 'v1'", "a @ git+https://x.test/a@v1"),
        ("git = 'https://x.test/a'", "a @ git+https://x.test/a"),
        (
            "git = 'https://x.test/a', subdirectory = 'sub'",
            "a @ git+https://x.test/a#subdirectory=sub",
        ),
        ("index = 'own'", "a"),
    ],
)
def test_a_source_of_a_project_becomes_the_requirements_url(
    make_target: MakeTarget, tmp_path: Path, source: str, requirement: str
) -> None:
    target = make_target(**project(tmp_path, f"a = {{{source}}}", "c = {index = 'own'}"))
    found = lockinputs.collect(target, tmp_path)
    assert found.requirements == [requirement, "b", "c @ https://x.test/c.zip"]
    # What has a URL has no other source: uv refuses both.
    assert list(found.sources) == ([] if "@" in requirement else ["a"])
    assert found.home == tmp_path


def test_the_paths_of_sources_are_the_same_on_every_machine(
    make_target: MakeTarget, package: Path, tmp_path: Path
) -> None:
    text = (
        f"{PROJECT}[tool.uv.sources]\nboto3 = {{path = '../boto3'}}\npillow = {{index = 'own'}}\n"
    )
    (package / "pyproject.toml").write_text(text)
    found = lockinputs.local_package(tmp_path, "common", make_target())
    assert found.metadata["sources"] == {
        "boto3": [{"path": "boto3"}],
        "pillow": [{"index": "own"}],
    }
    assert not found.depends_statically


def test_a_lock_and_a_project_name_no_other_files(tmp_path: Path) -> None:
    for name in ("uv.lock", "pyproject.toml"):
        assert lockinputs.files(tmp_path / name, tmp_path) == [tmp_path / name]
    (tmp_path / "requirements.txt").write_text("-r more.txt\n", "utf-8")
    (tmp_path / "more.txt").write_text("six\n", "utf-8")
    named = lockinputs.files(tmp_path / "requirements.txt", tmp_path)
    assert {path.name for path in named} == {"requirements.txt", "more.txt"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("[project]\n", "it has no [project] name"), ("[", "invalid|Invalid|Expected|Illegal")],
)
def test_why_a_local_package_cannot_be_read_is_said(
    make_target: MakeTarget, package: Path, text: str, said: str
) -> None:
    (package / "pyproject.toml").write_text(text)
    with pytest.raises(LockError) as caught:
        lockinputs.local_package(package.parent, "common", make_target())
    assert any(one in caught.value.message for one in said.split("|"))

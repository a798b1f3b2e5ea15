"""What is used of uv's configuration, and what is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from layersmith.base import origins
from layersmith.errors import ConfigError, LockError
from layersmith.lock import configuration

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose user and system have no configuration of uv."""
    for name in ("UV_NO_CONFIG", "UV_CONFIG_FILE", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def user(root: Path, text: str) -> None:
    path = root.parent / "user" / "uv" / "uv.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_where_packages_come_from_is_taken_from_every_file(root: Path) -> None:
    (root / "uv.toml").write_text(
        'find-links = ["wheels", "https://example.org/links"]\n'
        'index = [{ name = "own", url = "index", explicit = true }]\n'
        "[pip]\ngenerate-hashes = true\nno-annotate = true\n"
        'extra-index-url = ["https://example.org/pip"]\n'
    )
    user(root, 'keyring-provider = "subprocess"\nfind-links = ["/mine"]\nlink-mode = "copy"\n')
    assert origins.settings(root) == {
        "extra-index-url": ["https://example.org/pip"],
        "find-links": [str(root / "wheels"), "https://example.org/links", "/mine"],
        "index": [{"name": "own", "url": str(root / "index"), "explicit": True}],
        "keyring-provider": "subprocess",
        "link-mode": "copy",  # it changes nothing of what is resolved
    }


def test_the_nearest_file_counts_and_that_of_a_workspace_before_it(root: Path) -> None:
    member = root / "app"
    member.mkdir()
    (root / "pyproject.toml").write_text("[tool.uv]\noffline = true\n")
    assert origins.settings(member) == {"offline": True}
    (member / "pyproject.toml").write_text("[tool.uv]\nno-cache = true\n")
    assert origins.settings(member) == {"no-cache": True}
    (root / "pyproject.toml").write_text("[tool.uv]\noffline = true\nworkspace = {}\n")
    assert origins.settings(member) == {"offline": True}
    (root / "uv.toml").write_text("no-index = true\n")
    assert origins.settings(member) == {"no-index": True}


@pytest.mark.parametrize("key", sorted(configuration.DECIDING))
def test_what_changes_the_resolution_is_refused_by_name(root: Path, key: str) -> None:
    for text, named in ((f'{key} = ["a"]', key), (f'[pip]\n{key} = "a"', f"pip.{key}")):
        (root / "uv.toml").write_text(f"{text}\n")
        with pytest.raises(LockError) as refused:
            configuration.refuse_deciding(root)
        assert f"uv.toml in project sets `{named}`" in refused.value.message
        assert configuration.DECIDING[key] in str(refused.value.hint)


def test_variables_and_other_files_are_refused_as_well(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OVERRIDE", "overrides.txt")
    monkeypatch.setenv("UV_NO_SOURCES", "0")
    user(root, "[pip]\nno-deps = true\n")
    with pytest.raises(LockError) as refused:
        configuration.refuse_deciding(root)
    assert "uv.toml in uv sets `pip.no-deps`" in refused.value.message
    assert "the environment sets UV_OVERRIDE" in refused.value.message
    assert "UV_NO_SOURCES" not in refused.value.message
    monkeypatch.delenv("UV_OVERRIDE")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    configuration.refuse_deciding(root)
    assert origins.settings(root) == {}


def test_what_decides_nothing_is_let_through(root: Path) -> None:
    (root / "pyproject.toml").write_text(
        "[tool.uv]\nconstraint-dependencies = ['a<2']\noverride-dependencies = ['b']\n"
        "resolution = 'highest'\nno-sources = false\ndev-dependencies = ['b']\n"
    )
    configuration.refuse_deciding(root, ["a<2", "c<3"], ["b"])
    with pytest.raises(LockError, match="sets `constraint-dependencies`"):
        configuration.refuse_deciding(root, ["c<3"], ["b"])
    with pytest.raises(LockError, match="sets `override-dependencies`"):
        configuration.refuse_deciding(root, ["a<2"])


def test_a_file_that_is_not_toml_is_named(root: Path) -> None:
    (root / "uv.toml").write_text("no-index =")
    with pytest.raises(ConfigError, match=r"uv\.toml in project cannot be read"):
        origins.settings(root)


@pytest.mark.parametrize("text", ["pip = 1\n", "index = 5\n", "find-links = [3]\n", ""])
def test_what_is_not_a_table_or_text_ends_in_no_traceback(root: Path, text: str) -> None:
    (root / "uv.toml").write_text(text)
    (root / "pyproject.toml").write_text("tool = 3\nproject = 4\n")
    origins.settings(root)
    configuration.refuse_deciding(root)
    assert configuration.sources(root, None) == {}
    (root / "pyproject.toml").write_text("tool.uv.sources = { a = 'b' }\n")
    with pytest.raises(LockError, match="the entry of a in"):
        configuration.sources(root, None)


def test_sources_hold_for_the_names_that_are_asked_for(root: Path) -> None:
    (root / "lib").mkdir()
    (root / "lib" / "pyproject.toml").write_text("[project]\nname = 'My.Lib'\n")
    (root / "pyproject.toml").write_text(
        "[tool.uv.workspace]\nmembers = ['l*']\n[tool.uv.sources]\n"
        "Torch = [{ index = 'cpu', marker = \"sys_platform == 'linux'\" }]\n"
        "my-lib = { workspace = true }\nnear = { path = 'near' }\nother = { index = 'x' }\n"
    )
    assert configuration.sources(root, {"torch", "my-lib", "near"}) == {
        "torch": [{"index": "cpu", "marker": "sys_platform == 'linux'"}],
        "my-lib": [{"path": str(root / "lib")}],
        "near": [{"path": str(root / "near")}],
    }
    (root / "pyproject.toml").write_text("[tool.uv.sources]\na = { workspace = true }\n")
    with pytest.raises(LockError, match="calls a a member of the workspace"):
        configuration.sources(root, {"a"})


def test_the_nearest_project_and_that_of_the_workspace_say_where_packages_are(root: Path) -> None:
    member = root / "libs" / "app"
    member.mkdir(parents=True)
    top = "[tool.uv.sources]\na = { index = 'top' }\nb = { index = 'top' }\n"
    (root / "pyproject.toml").write_text(top)
    (root / "libs" / "pyproject.toml").write_text("[tool.uv.sources]\nc = { index = 'between' }\n")
    (member / "pyproject.toml").write_text("[tool.uv.sources]\na = { index = 'own' }\n")
    assert configuration.sources(member, None) == {"a": [{"index": "own"}]}
    (root / "pyproject.toml").write_text(f"[tool.uv.workspace]\nmembers = ['libs/*']\n{top}")
    assert configuration.sources(member, None) == {"a": [{"index": "own"}], "b": [{"index": "top"}]}


GIT, WHEEL = "https://example.org/x.git", "https://example.org/x-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("entries", "url"),
    [
        ([{"url": WHEEL}], WHEEL),
        ([{"url": WHEEL, "subdirectory": "lib"}], f"{WHEEL}#subdirectory=lib"),
        ([{"git": GIT}], f"git+{GIT}"),
        ([{"git": GIT, "branch": "b", "tag": "t", "rev": "r"}], f"git+{GIT}@r"),
        ([{"git": GIT, "branch": "b", "tag": "t"}], f"git+{GIT}@t"),
        (
            [{"git": GIT, "branch": "b", "subdirectory": "lib"}],
            f"git+{GIT}@b#subdirectory=lib",
        ),
        ([{"index": "own"}, {"url": WHEEL}], None),
        ([{"path": "/lib"}], None),
        ([{"git": GIT, "marker": "sys_platform == 'win32'"}, {"url": WHEEL}], WHEEL),
        ([{"git": GIT, "marker": "sys_platform == 'linux'"}, {"url": WHEEL}], f"git+{GIT}"),
        ([{"git": GIT, "marker": "sys_platform == 'win32'"}], None),
        ([], None),
    ],
)
def test_the_first_source_that_applies_to_the_target_gives_the_url(
    entries: list[dict[str, str]], url: str | None
) -> None:
    assert configuration.url_of(entries, {"sys_platform": "linux"}) == url


def test_what_comes_from_elsewhere_is_found_through_local_packages(root: Path) -> None:
    app, lib = root / "app", root / "lib"
    said = {
        app: "Lib = { path = '../lib' }\ntorch = { index = 'cpu' }\nfile = { path = 'x.whl' }\n",
        lib: f"app.path = '../app'\ndeep.git = '{GIT}'\nweb.url = '{WHEEL}'\n",
    }
    for folder, text in said.items():
        folder.mkdir()
        (folder / "pyproject.toml").write_text(f"[tool.uv.sources]\n{text}")
    assert configuration.from_elsewhere([app]) == {"lib", "file", "app", "deep", "web"}
    assert configuration.from_elsewhere([]) == set()

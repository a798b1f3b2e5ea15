"""The commands of pages, in their order, in a folder with the files that the page shows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from layersmith import lock
from layersmith.base import uv

from tests.integration.lock.index import LOGIN
from tests.integration.ship import releases
from tests.support import cli, clocks, pages, tiny_onnx

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.lock.index import Index
    from tests.integration.ship.conftest import AwsServer, Project

EXAMPLES = pages.DOCS / "examples"
HOW_TO = pages.DOCS / "how-to"
HERE = f"python3.{sys.version_info.minor}"
"""The runtime that an interpreter of this machine can stand for."""


def show(page: Path, folder: Path, *, below: str = "") -> None:
    """Write the files of a page into a folder, as they lie below one of the examples."""
    for one in pages.shown(page):
        path = folder / one.path.relative_to(EXAMPLES / below)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text)


def run(lines: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Type the commands of a page into one shell."""
    assert lines
    tool = f'layersmith() {{ {" ".join(cli.argv())} "$@"; }}\nuv() {{ {uv.program()} "$@"; }}'
    tool += f'\npython() {{ {sys.executable} "$@"; }}'
    return subprocess.run(
        ["bash", "-euc", "\n".join([tool, *lines])],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=clocks.seconds(cli.TIMEOUT),
    )


def follow(page: Path, folder: Path) -> str:
    """Run the commands of a page, all of which succeed, and return what they printed."""
    done = run(pages.commands(page), folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_use_in_your_repository(tmp_path: Path) -> None:
    page = pages.DOCS / "use-in-your-repository.md"
    show(page, tmp_path)
    shutil.copytree(EXAMPLES / "tests", tmp_path / "tests")
    (tmp_path / "requirements.txt").write_text("pillow\n")
    follow(page, tmp_path)
    assert (tmp_path / "dist/latest/imaging-python3.13-arm64.zip").is_file()


@pytest.mark.slow
@pytest.mark.docker
def test_embedding_model(tmp_path: Path) -> None:
    """With a model of a few bytes, which the page's own command would have to download."""
    page = HOW_TO / "embedding-model.md"
    show(page, tmp_path, below="embedding")
    words = {"tea": [1.0, 0.0, 0.0], "green": [0.0, 1.0, 0.0], "car": [0.0, 0.0, 2.0]}
    tiny_onnx.write(tmp_path / "model", words)
    said = follow(page, tmp_path)
    assert "proven by Docker" in said
    assert "1 of 1 tests pass" in said


@pytest.mark.slow
def test_develop_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One terminal serves; the other one's commands run meanwhile, and the rest after Ctrl-C."""
    page = pages.DOCS / "develop-vectors.md"
    show(page, tmp_path, below="vectors")
    # What the installed package does: its modules, and the plugin by its entry point.
    packages = ("lambdas/common/src", "fargate/chroma")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(pages.ROOT / one) for one in packages))
    monkeypatch.setenv("PYTEST_PLUGINS", "vector_common.testing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    lines = {
        section: [line.replace("8000", port) for line in pages.commands(page, section)]
        for section in ("Its tests", "A server to try it on", "Try it", "Keep it")
    }
    known = [line for section in lines.values() for line in section]
    assert known == [line.replace("8000", port) for line in pages.commands(page)]
    assert "3 passed" in typed(lines["Its tests"], tmp_path)
    [serve] = lines["A server to try it on"]
    log = tmp_path / "serve.log"
    with log.open("wb") as out:
        words = [*cli.argv(), *serve.split()[1:]]
        server = subprocess.Popen(words, cwd=tmp_path, stdout=out, stderr=out, process_group=0)
    try:
        clocks.wait(
            lambda: "Ctrl-C saves it" in log.read_text() or server.poll() is not None,
            log.read_text,
        )
        said = typed(lines["Try it"], tmp_path)
        assert '"text": "two coffees and a croissant"' in said
        assert "['r1']" in said or "['r1', 'r2']" in said
    finally:
        os.killpg(server.pid, signal.SIGINT)
        assert server.wait(clocks.seconds(clocks.BOUND)) == 0
    kept = typed(lines["Keep it"], tmp_path)
    assert "current" in kept
    assert "deltas: 0" in kept


def typed(lines: list[str], folder: Path) -> str:
    """Run lines that all succeed, with this interpreter as python."""
    done = run([f'python() {{ {sys.executable} "$@"; }}', *lines], folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


CHEAP = ("plan", "lock --check", "schema --check")
"""Verbs of CLAUDE.md that run here; tests/unit/docs holds the others against what there is."""


@pytest.mark.parametrize("verb", CHEAP)
def test_what_the_next_worker_types(verb: str) -> None:
    assert f"python build/layers.py {verb}" in pages.commands(pages.ROOT / "CLAUDE.md")
    done = cli.layers(*verb.split())
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.docker
def test_first_layer(tmp_path: Path) -> None:
    page = pages.DOCS / "first-layer.md"
    show(page, tmp_path)
    said = follow(page, tmp_path)
    assert "proven by Docker" in said
    assert "1 of 1 tests pass" in said


def test_private_index(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The login of the page opens the index; nothing is found in the other one."""
    index.wheel("alpha", "1.0")
    folder = tmp_path / "project"
    folder.mkdir()
    show(HOW_TO / "private-index.md", folder, below="private-index")
    settings = folder / "uv.toml"
    settings.write_text(
        settings.read_text().replace("https://packages.example.com/simple", index.closed_url)
    )
    text = (EXAMPLES / "layers.yaml").read_text().replace("pillow", "alpha")
    (folder / "layers.yaml").write_text(re.sub(r" *smoke: .*\n", "", text))
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{index.url}-of-nobody")
    name, password = LOGIN
    assert f"USERNAME={name}" in (HOW_TO / "private-index.md").read_text()
    monkeypatch.setenv("TOKEN", password)
    follow(HOW_TO / "private-index.md", folder)
    (locked,) = folder.glob("locks/*.txt")
    assert [(one.name, one.version) for one in lock.read(locked).entries] == [("alpha", "1.0")]
    for path in folder.rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes(), path


def test_monorepo(tmp_path: Path) -> None:
    page = HOW_TO / "monorepo.md"
    show(page, tmp_path, below="monorepo")
    follow(page, tmp_path)
    team = (tmp_path / "uv.lock").read_text("utf-8")
    (locked,) = tmp_path.glob("locks/*.txt")
    entries = {one.name: one.version for one in lock.read(locked).entries}
    assert "python-slugify" in entries
    for name, version in entries.items():
        assert f'name = "{name}"\nversion = "{version}"' in team


NOT_HERE = ("layersmith smoke", "layersmith release")
"""Commands on upgrades that need a Docker engine, and a git repository with a remote."""


def test_upgrade(index: Index, tmp_path: Path) -> None:
    page = HOW_TO / "upgrade.md"
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(EXAMPLES / "layers.yaml", folder)
    shutil.copytree(EXAMPLES / "tests", folder / "tests")
    index.wheel("pillow", "12.0.0")
    assert run(["layersmith lock", "layersmith build"], folder).returncode == 0
    index.wheel("pillow", "13.0.0")
    lines = [line for line in pages.commands(page) if not line.startswith(NOT_HERE)]
    done = run(lines, folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"pillow.*12\.0\.0.*13\.0\.0", done.stdout)


def test_rollback(aws: AwsServer, project: Project) -> None:
    """Two versions are published; the page goes back, withdraws the newer one, and goes forward."""
    for version in ("1.0.0", "1.1.0"):
        spec = releases.LayerSpec(name="imaging", version=version, source=f"VERSION = {version!r}")
        project.write(spec)
        assert project.apply().code == 0
    lines = pages.commands(HOW_TO / "rollback.md")
    arn = next(at for at, line in enumerate(lines) if line.startswith("layersmith arn"))
    done = run(lines[: arn + 1], project.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(":layer:imaging-python3-13-arm64:1")
    done = run([*lines[arn + 1 :], lines[arn]], project.root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(":layer:imaging-python3-13-arm64:2")


def test_not_proven(tmp_path: Path) -> None:
    """The page's layer fails as the page says, on a runtime that this machine can stand for."""
    page = HOW_TO / "not-proven.md"
    show(page, tmp_path, below="not-proven")
    layers = tmp_path / "layers.yaml"
    layers.write_text(layers.read_text().replace("python3.13", HERE))
    lines = pages.commands(page)
    built = run([line for line in lines if "smoke" not in line], tmp_path)
    assert built.returncode == 0, built.stderr
    for line in (line for line in lines if "smoke" in line):
        done = run([f"{line} --runner host"], tmp_path)
        assert done.returncode == 8
        (shown,) = [text for kind, text in pages.FENCE.findall(page.read_text()) if kind == "text"]
        first, others, *rest = shown.replace("python3.13", HERE).splitlines()
        for said in (first, others.partition(":")[0], *rest):
            assert re.sub(r"\d+ others", "", said) in re.sub(r"\d+ others", "", done.stderr)
    assert "+    import-exceptions:" in done.stderr
    assert layers.read_text().count("import-exceptions") == 0


def test_250_mb(tmp_path: Path) -> None:
    follow(HOW_TO / "250-mb.md", tmp_path)


def test_a_lock_is_a_requirements_file_with_hashes(tmp_path: Path) -> None:
    """As the page on 250 MB has it, for an image."""
    options = ["--no-deps", "--require-hashes", "--dry-run", "--python-version", "3.13"]
    options += ["--python-platform", "aarch64-manylinux_2_34", "--target", str(tmp_path)]
    done = subprocess.run(
        [uv.program(), "pip", "install", *options, "-r", "locks/imaging-python3.13-arm64.txt"],
        cwd=cli.ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("VIRTUAL")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "pillow==" in done.stderr


def test_thresholds(tmp_path: Path) -> None:
    page = HOW_TO / "thresholds.md"
    show(page, tmp_path, below="thresholds")
    printed = follow(page, tmp_path)
    # What the page says of its own records.
    assert " 0.40 *" in printed
    assert "'threshold': 0.4, 'accept': 0.5" in printed
    drawn = (tmp_path / "labels.html").read_text()
    figure = ElementTree.fromstring(drawn[drawn.index("<svg") : drawn.index("</svg>") + 6])
    lines = [one.attrib["points"].split() for one in figure.iter("polyline")]
    # Precision ends where nothing is decided, coverage goes on.
    assert [len(line) for line in lines] == [9, 14]

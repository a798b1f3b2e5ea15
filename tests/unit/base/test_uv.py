"""What uv is asked, word by word."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from layersmith import process
from layersmith.base import runtimes, uv


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What was run, without the file of settings at the end; nothing is."""
    calls: list[tuple[list[str], dict[str, Any]]] = []

    def run(argv: list[str | Path], **options: Any) -> process.Completed:
        words = [str(word) for word in argv[1:]]
        if words[0] == "pip":
            assert words[-2] == "--config-file"
            del words[-2:]
        calls.append((words, options))
        return process.Completed(("uv",), 0, "uv 1.2 (here)\n", "")

    monkeypatch.setattr(process, "run", run)
    return calls


@pytest.mark.parametrize(
    ("minor", "expected"), [(17, 17), (18, 28), (26, 28), (28, 28), (29, 31), (34, 34), (40, 40)]
)
def test_the_platform_is_the_next_that_uv_knows(minor: int, expected: int) -> None:
    class Stub:
        glibc = (2, minor)

    assert uv.python_platform(Stub(), "arm64") == f"aarch64-manylinux_2_{expected}"  # type: ignore[arg-type]


def test_wheels_for_a_target(said: list[tuple[list[str], dict[str, Any]]]) -> None:
    runtime = runtimes.get("python3.13")
    uv.install_wheels(
        Path("/x"), ["a==1"], python_version="3.13", platform=uv.python_platform(runtime, "arm64")
    )
    uv.install_wheels(Path("/x"), ["a==1", "b"], deps=True)
    uv.install_wheels(Path("/x"), ["a==1 --hash=sha256:0"])
    start = ["pip", "install", "--no-compile-bytecode", "--only-binary", ":all:"]
    where = ["--quiet", "--target", "/x"]
    target = ["--python-version", "3.13", "--python-platform", "aarch64-manylinux_2_34"]
    this = ["--python", sys.executable, "--no-python-downloads"]
    assert [words for words, _ in said] == [
        [*start, "--no-deps", *target, *where, "-r", "-"],
        [*start, *this, *where, "-r", "-"],
        [*start, "--no-deps", *this, *where, "--require-hashes", "-r", "-"],
    ]
    assert [options["stdin"] for _, options in said] == ["a==1", "a==1\nb", "a==1 --hash=sha256:0"]


def test_pins_are_compiled_with_this_python(said: list[tuple[list[str], dict[str, Any]]]) -> None:
    uv.compile_pins("-", "--no-deps", stdin="a\n", cwd=Path("/r"), timeout=5)
    ((words, options),) = said
    assert words[:4] == ["pip", "compile", "-", "--no-deps"]
    assert "--quiet" in words
    assert words[words.index("--python") + 1] == sys.executable
    assert (options["stdin"], options["cwd"], options["timeout"]) == ("a\n", Path("/r"), 5)


def test_a_file_of_settings_that_is_given_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []

    def run(argv: list[str | Path], **options: Any) -> process.Completed:
        assert list(map(str, argv)).count("--config-file") == 1
        texts.append(Path(argv[-1]).read_text("utf-8"))
        return process.Completed(("uv",), 0, "", "")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", "https://variable.test")
    (tmp_path / "uv.toml").write_text('extra-index-url = ["https://found.test"]')
    given = tmp_path / "given.toml"
    given.write_text('extra-index-url = ["https://given.test"]')
    uv.compile_pins("-", "--config-file", given, timeout=5, cwd=tmp_path)
    assert "variable.test" in texts[0]
    assert "given.test" in texts[0]
    assert "found.test" not in texts[0]


def test_uv_is_told_of_logins_in_a_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    texts: list[str] = []

    def run(argv: list[str | Path], **options: Any) -> process.Completed:
        seen.append(options["env"])
        folder = Path(argv[-1]).parent
        assert folder.stat().st_mode & 0o077 == 0
        texts.append(Path(argv[-1]).read_text("utf-8"))
        return process.Completed(("uv",), 0, "", "")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://a:hidden@index.test/simple")
    monkeypatch.setenv("UV_CACHE_DIR", "/c")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "http://a:hidden@index.test")
    uv.compile_pins("-", timeout=5)
    assert seen[0]["UV_CACHE_DIR"] == "/c"
    assert "hidden" not in str(seen)
    assert 'url = "http://a:hidden@index.test/simple"' in texts[0].replace('"url"', "url")


def test_the_version_is_without_the_name(said: list[tuple[list[str], dict[str, Any]]]) -> None:
    assert uv.version() == "1.2 (here)"


@pytest.mark.parametrize(("on_path", "expected"), [("/opt/uv", "/opt/uv"), (None, "uv")])
def test_uv_from_elsewhere_is_looked_for_on_the_path(
    monkeypatch: pytest.MonkeyPatch, on_path: str | None, expected: str
) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setattr(shutil, "which", lambda name: on_path)
    assert uv.program.__wrapped__() == expected


def test_the_uv_beside_this_python_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: pytest.fail("PATH was searched"))
    assert Path(uv.program.__wrapped__()).is_file()

import importlib.util
import sys

import pytest
from layersmith.audit import policy
from layersmith.audit.findings import Severity
from layersmith.base import architectures, runtimes

from tests.unit.audit.layers import judge, layer, only

SOURCE = "python/fast/__init__.py"
CACHED = "python/fast/__pycache__/__init__.cpython-313.pyc"
MAGIC = policy.magic(runtimes.get("python3.13"))


def pyc(flags: int, magic: bytes = MAGIC) -> bytes:
    return magic + flags.to_bytes(4, "little") + bytes(8) + b"code"


def test_magic_numbers_are_those_of_this_interpreter() -> None:
    running = f"python3.{sys.version_info.minor}"
    if running not in runtimes.RUNTIMES:
        pytest.skip(f"{running} is no Lambda runtime")
    assert policy.magic(runtimes.get(running)) == importlib.util.MAGIC_NUMBER


@pytest.mark.parametrize("runtime", list(runtimes.RUNTIMES))
@pytest.mark.parametrize("architecture", architectures.NAMES)
def test_every_runtime_has_a_policy_that_fits_its_c_library(
    runtime: str, architecture: str
) -> None:
    rules = policy.of(runtimes.get(runtime), architecture)
    assert rules.versions["GLIBC"] == runtimes.get(runtime).glibc
    assert {"libc.so.6", "libstdc++.so.6"} <= rules.libraries
    assert rules.libraries.isdisjoint(rules.incidental)
    assert all(one.package and one.source for one in rules.incidental.values())


def test_no_library_is_promised_to_the_wrong_machine() -> None:
    python = runtimes.get("python3.13")
    loaders = {"ld-linux-aarch64.so.1", "ld-linux-x86-64.so.2"}
    assert policy.of(python, "arm64").libraries & loaders == {"ld-linux-aarch64.so.1"}
    assert policy.of(python, "x86_64").libraries & loaders == {"ld-linux-x86-64.so.2"}
    assert "libmvec.so.1" not in policy.of(python, "arm64").libraries


@pytest.mark.parametrize("name", list(runtimes.RUNTIMES))
def test_what_the_runtime_provides_can_be_hidden_by_its_modules(name: str) -> None:
    runtime = runtimes.get(name)
    assert set(runtime.provided_modules.values()) >= runtime.provided
    assert {"boto3", "urllib3"} <= runtime.provided
    assert runtime.provided_modules["dateutil"] == "python-dateutil"


@pytest.mark.parametrize(
    ("flags", "code", "severity"),
    [
        (0b00, "PYC-TIMESTAMP", Severity.ERROR),
        (0b11, "PYC-CHECKED", Severity.WARNING),
        (0b01, None, None),
    ],
)
def test_invalidation(flags: int, code: str | None, severity: Severity | None) -> None:
    report = judge(layer(**{CACHED: pyc(flags)}))
    assert [(one.code, one.severity) for one in report.findings] == (
        [(code, severity)] if code else []
    )


def test_bytecode_in_the_place_of_its_source_has_nothing_to_be_compared_with() -> None:
    assert judge(layer(**{"python/fast/only.pyc": pyc(0)})).findings == []


@pytest.mark.parametrize(
    ("path", "severity"), [(CACHED, Severity.WARNING), ("python/fast/x.pyc", Severity.ERROR)]
)
def test_bytecode_of_another_python(path: str, severity: Severity) -> None:
    other = policy.magic(runtimes.get("python3.12"))
    finding = only(judge(layer(**{path: pyc(1, other)})))
    assert (finding.code, finding.severity) == ("PYC-MAGIC", severity)


def test_bytecode_that_is_cut_short() -> None:
    assert only(judge(layer(**{CACHED: MAGIC}))).code == "PYC-MAGIC"


def test_bytecode_without_its_source() -> None:
    finding = only(judge(layer(**{CACHED.replace("__init__", "gone"): pyc(1)})))
    assert (finding.code, finding.severity) == ("PYC-ORPHAN", Severity.WARNING)


def moved(prefix: str) -> dict[str, bytes]:
    return {path.replace("python/", prefix, 1): content for path, content in layer().items()}


@pytest.mark.parametrize(
    ("prefix", "cause"),
    [
        ("", "without python/ in front"),
        ("python/python/", "put in front twice"),
        ("python/lib/python3.13/site-packages/", "copied from a virtual environment"),
        ("python/lib/python3.12/site-packages/", "python3.13 ignores it"),
    ],
)
def test_packages_at_the_wrong_depth(prefix: str, cause: str) -> None:
    found = [one for one in judge(moved(prefix)).errors if one.code == "LAYOUT-DEPTH"]
    assert found
    assert all(cause in one.cause for one in found)


def test_folders_that_lambda_knows_may_hold_code() -> None:
    files = layer(**{"lib/libx.so.1": b"", "bin/tool.py": b"", "extensions/ext": b""})
    assert judge(files).findings == []


@pytest.mark.parametrize(
    "line",
    [
        b"#!/home/ci/venv/bin/python3",
        b"#!/usr/bin/python3",
        b"#!python",
        b"#! /usr/local/bin/python",
    ],
)
def test_scripts_of_another_machine(line: bytes) -> None:
    finding = only(judge(layer(**{"python/bin/tool": line + b"\nimport x\n"})))
    assert finding.code == "SHEBANG"
    assert line.decode() in finding.what


@pytest.mark.parametrize(
    "line", [b"#!/usr/bin/env python3", b"#!/bin/sh -e", b"#!/var/lang/bin/python3.13"]
)
def test_scripts_that_the_runtime_can_start(line: bytes) -> None:
    assert judge(layer(**{"python/bin/tool": line + b"\n"})).findings == []


@pytest.mark.parametrize("path", ["python/fast/bin/jsonpath.py", "python/fast/tool"])
def test_a_shebang_in_a_module_or_a_text_starts_nothing(path: str) -> None:
    files = layer(**{path: b"#!/usr/bin/python\n"})
    assert judge(files, executables=["python/fast/bin/jsonpath.py"]).findings == []


@pytest.mark.parametrize(
    ("path", "severity"),
    [("bin/tool", "error"), ("python/bin/tool.py", "error"), ("python/fast/tool", "warning")],
)
def test_a_shebang_in_what_is_started(path: str, severity: str) -> None:
    files = layer(**{path: b"#!/home/ci/venv/bin/python\n"})
    found = only(judge(files, executables=["python/fast/tool"]))
    assert (found.code, found.severity) == ("SHEBANG", severity)


def test_paths_that_differ_in_case() -> None:
    finding = only(judge(layer(**{"python/Fast/__init__.py": b""})))
    assert (finding.code, finding.severity) == ("PATH-CASE", Severity.WARNING)


def test_editable_installs() -> None:
    finding = only(judge(layer(**{"python/__editable__.mine-1.0.pth": b"/home/ci/src\n"})))
    assert (finding.code, finding.severity) == ("LAYOUT-EDITABLE", Severity.ERROR)


def test_path_files_are_not_read() -> None:
    finding = only(judge(layer(**{"python/zope-nspkg.pth": b"import sys\n"})))
    assert (finding.code, finding.severity) == ("LAYOUT-PTH", Severity.WARNING)


def test_a_layer_without_files_is_refused() -> None:
    finding = only(judge({}))
    assert (finding.code, finding.severity) == ("LAYOUT-EMPTY", Severity.ERROR)

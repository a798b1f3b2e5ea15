"""What findings say, word by word: the cause and the next step differ by what was found."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from layersmith.audit.content import top_level
from layersmith.audit.judge import audit_zip, extras_of
from layersmith.base import runtimes
from layersmith.config.trust import Licenses
from layersmith.errors import AuditError

from tests.support.tiny_elf import EM_X86_64
from tests.unit.audit.layers import EXTENSION, GOOD, RECORD, judge, layer, only

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.audit.findings import AuditReport, Finding

X86 = replace(GOOD, machine=EM_X86_64).build()
MACH_O = b"\xcf\xfa\xed\xfe" + bytes(60)
RECORD_PATH = "python/fast-1.0.dist-info/RECORD"
METADATA = "python/fast-1.0.dist-info/METADATA"
OTHER_PYTHON = EXTENSION.replace("313", "312")


def said(finding: Finding) -> str:
    return f"{finding.what} | {finding.cause} | {finding.next}"


def of(code: str, report: AuditReport) -> Finding:
    (finding,) = [one for one in report.findings if one.code == code]
    return finding


def test_a_module_for_another_system() -> None:
    name = "python/fast/_fast.abi3.so"
    assert said(of("ELF-FOREIGN", judge(layer(**{name: MACH_O})))) == (
        f"{name} is a native file for macOS; Python fails with: cannot import name '_fast' from"
        " 'fast' | the wheel is for macOS | build from the target's lock, which takes only wheels"
        " for Linux"
    )


def test_a_file_for_another_system_that_is_no_module() -> None:
    assert said(only(judge(layer(**{"python/fast/x.dylib": MACH_O})))) == (
        "python/fast/x.dylib is a native file for macOS | the wheel carries files for every system"
        " | leave it out: prune: add: [fast/x.dylib]"
    )


@pytest.mark.parametrize(
    ("architecture", "shown"), [("arm64", "arm64 (aarch64)"), ("x86_64", "x86_64")]
)
def test_the_machine_of_a_layer_is_said_in_both_of_its_names(architecture: str, shown: str) -> None:
    content = X86 if architecture == "arm64" else GOOD.build()
    report = judge(layer(**{EXTENSION: content}), architecture=architecture)
    assert f"the layer is for {shown}; " in of("ELF-MACHINE", report).what


def test_one_file_of_several_that_was_replaced() -> None:
    beside = EXTENSION.replace("_fast", "_slow")
    record = RECORD + beside.removeprefix("python/") + ",,\n"
    files = {EXTENSION: X86, beside: GOOD.build(), RECORD_PATH: record.encode()}
    assert of("ELF-MACHINE", judge(layer(**files))).cause == (
        "the other files of fast fit: this one was replaced by one for x86_64, renamed or copied"
        " over"
    )


def test_one_file_of_several_that_no_distribution_owns() -> None:
    files = {EXTENSION: X86, EXTENSION.replace("_fast", "_slow"): GOOD.build()}
    assert of("ELF-MACHINE", judge(files)).cause.startswith(
        "the other files of its distribution fit: this one"
    )


def test_a_module_of_another_python_without_and_with_one_that_fits() -> None:
    alone = of("EXT-PYTHON", judge(layer(**{EXTENSION: None, OTHER_PYTHON: GOOD.build()})))
    assert alone.what.endswith("will say: cannot import name '_fast' from 'fast'")
    assert alone.next.startswith("lock and build for python3.13; ")
    beside = of("EXT-PYTHON", judge(layer(**{OTHER_PYTHON: GOOD.build()})))
    assert beside.what.endswith("takes another file in its place")
    assert beside.next == f"leave it out: prune: add: [{OTHER_PYTHON.removeprefix('python/')}]"


@pytest.mark.parametrize(
    ("line", "gate", "what", "key"),
    [
        (
            "License: do as you like",
            Licenses(allow=["MIT"]),
            "says 'do as you like' of its licence",
            "licenses.allow",
        ),
        ("Summary: fast", Licenses(deny=["MIT"]), "does not state a licence", "licenses.deny"),
    ],
)
def test_a_licence_that_is_not_known(line: str, gate: Licenses, what: str, key: str) -> None:
    files = layer(**{METADATA: f"Name: fast\nVersion: 1.0\n{line}\n".encode()})
    finding = only(judge(files, licenses=gate))
    assert finding.what == f"fast 1.0 {what}, which `licenses` cannot be held against"
    assert (finding.code, finding.key) == ("LICENSE-UNKNOWN", key)


@pytest.mark.parametrize("expression", ["MIT AND ISC", "ISC AND MIT"])
def test_a_denied_licence_comes_before_one_that_is_not_allowed(expression: str) -> None:
    said = f"Name: fast\nVersion: 1.0\nLicense-Expression: {expression}\n"
    gate = Licenses(allow=["Zlib"], deny=["MIT"])
    assert (
        "`licenses` denies MIT"
        in only(judge(layer(**{METADATA: said.encode()}), licenses=gate)).what
    )


def test_an_import_that_is_missing_says_which_and_why() -> None:
    pruned = layer(**{"python/fast/__init__.py": None, EXTENSION: None})
    there = of("IMPORT-MISSING", judge(pruned, requirements=["fast"]))
    assert (there.what, there.cause) == (
        "nothing of fast can be imported (fast)",
        "its files were pruned or deleted",
    )
    absent = of("IMPORT-MISSING", judge(layer(), requirements=["absent"]))
    assert (absent.what, absent.cause) == (
        "nothing of absent can be imported",
        "the distribution is not in the layer",
    )


@pytest.mark.parametrize(
    ("path", "owner", "it"),
    [
        ("python/fast/__init__.py", "fast", "fast"),
        ("python/loose.py", "a distribution", "it"),
        ("python/loose.cpython-313-aarch64-linux-gnu.so", "a distribution", "it"),
    ],
)
def test_a_forbidden_import_names_who_brings_it(path: str, owner: str, it: str) -> None:
    files = layer(**{path: GOOD.build() if path.endswith(".so") else b""})
    module = top_level(path.removeprefix("python/"))
    assert module
    finding = of("IMPORT-FORBIDDEN", judge(files, forbidden=[module]))
    assert finding.cause == f"{owner} brings it, as a requirement or pulled by one"
    assert finding.next.startswith(f"exclude {it}; ")


def test_a_name_that_only_begins_like_a_module_is_not_forbidden() -> None:
    files = layer(**{"python/loose.cfg.so": b"", "python/loose.txt": b""})
    assert judge(files, forbidden=["loose"]).findings == []


def test_a_module_that_hides_one_of_the_runtime_names_who_brings_it() -> None:
    finding = of("SHADOW-RUNTIME", judge(layer(**{"python/boto3/__init__.py": b""})))
    assert finding.cause == "a distribution is in the layer; /opt/python comes first"


@pytest.mark.parametrize(
    ("there", "cause"),
    [
        ({}, "it was deleted after the install, or the wheel was unpacked in part"),
        ({OTHER_PYTHON: GOOD.build()}, "it was renamed to _fast.cpython-312-aarch64-linux-gnu.so"),
        (
            {OTHER_PYTHON.replace("/_fast", "/below/_fast"): GOOD.build()},
            "it was deleted after the install, or the wheel was unpacked in part",
        ),
        (
            {OTHER_PYTHON.replace("_fast", "_slow"): GOOD.build()},
            "it was deleted after the install, or the wheel was unpacked in part",
        ),
        (
            {"python/fast/libfast.so.1": GOOD.build()},
            "it was deleted after the install, or the wheel was unpacked in part",
        ),
    ],
)
def test_where_a_module_went(there: dict[str, bytes], cause: str) -> None:
    assert of("FILE-MISSING", judge(layer(**{EXTENSION: None, **there}))).cause == cause


@pytest.mark.parametrize(
    ("added", "extras"), [(None, {"a"}), ({"fast": ["b"], "more": ["c"]}, {"a", "b"})]
)
def test_extras_of_requirements_and_of_layers_yaml(
    added: dict[str, list[str]] | None, extras: set[str]
) -> None:
    found = extras_of(["Fast[a]>=1"], added)
    assert found["fast"] == extras
    assert found.get("more") == ({"c"} if added else None)


def zipped(path: Path, *infos: tuple[str, int]) -> Path:
    """Write a zip of empty files with modes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, mode in infos:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16 or 0x20  # 0x20: DOS's, as Windows writes it
            archive.writestr(info, b"")
    return path


def judged(path: Path, identifier: str | None = None) -> AuditReport:
    return audit_zip(path, runtimes.get("python3.13"), "arm64", identifier=identifier)


OTHER_USER = "the umask or the file system of the build machine; Lambda runs as another user"
NO_MODES = "the zip was made where files have no modes; Lambda's user may not read it"


@pytest.mark.parametrize(
    ("mode", "shown", "cause"),
    [(0, "0000", NO_MODES), (0o600, "0600", OTHER_USER), (0o001, "0001", OTHER_USER)],
)
def test_the_mode_of_a_file(tmp_path: Path, mode: int, shown: str, cause: str) -> None:
    finding = only(judged(zipped(tmp_path / "a.zip", ("python/a.py", mode))))
    assert (finding.what, finding.cause) == (f"python/a.py has the mode {shown}", cause)


def test_a_link_in_a_zip_and_a_path_that_leaves_it(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("python/a.py", 0o120777), ("../b.txt", 0o644))
    assert {one.code: one.what for one in judged(path).findings} == {
        "SYMLINK": "python/a.py is a symbolic link",
        "PATH-UNSAFE": "../b.txt is not a plain relative path",
    }


def test_packages_at_the_top_and_in_a_folder_of_a_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("top.py", 0o644), ("pkg/__init__.py", 0o644))
    assert sorted(one.what for one in judged(path).findings) == [
        "packages lie in / of the layer, such as top.py",
        "packages lie in pkg/ of the layer, such as pkg/__init__.py",
    ]


@pytest.mark.parametrize(("identifier", "shown"), [(None, "a.zip"), ("mine", "mine")])
def test_a_zip_is_called_by_its_file_or_as_it_is_asked(
    tmp_path: Path, identifier: str | None, shown: str
) -> None:
    path = zipped(tmp_path / "a.zip", ("python/a.py", 0o644))
    assert judged(path, identifier).identifier == shown


def test_a_damaged_zip_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(AuditError) as raised:
        judged(path)
    assert raised.value.message.count("a.zip") == 1
    assert raised.value.hint == "build it again"


def test_the_next_step_calls_the_program_as_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    files = layer(**{EXTENSION: replace(GOOD, exports=()).build()})
    assert "`python build/layers.py smoke`" in of("EXT-INIT", judge(files)).next
    monkeypatch.setattr(sys, "argv", ["/usr/bin/layersmith"])
    finding = of("EXT-INIT", judge(files))
    assert "`layersmith smoke`" in finding.next
    assert "`layersmith smoke`" in finding.model_dump(mode="json")["next"]

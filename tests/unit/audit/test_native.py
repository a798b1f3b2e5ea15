import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layersmith.audit import policy
from layersmith.audit.findings import Severity
from layersmith.base import runtimes

from tests.support.tiny_elf import EM_386, EM_X86_64, TinyElf
from tests.unit.audit.layers import EXTENSION, GOOD, RECORD, judge, judge_elf, layer, only

LIBRARY = "python/fast.libs/libx-12345678.so.1"
X86_NAME = EXTENSION.replace("aarch64", "x86_64")


def test_a_good_layer_has_no_findings() -> None:
    report = judge(layer(), requirements=["fast"])
    assert report.findings == []
    assert (report.files, report.elf_files, report.machines) == (5, 1, ["aarch64"])
    assert report.highest == {"GLIBC": "2.17"}
    report.raise_for_errors()


def test_another_machine_under_the_name_of_this_one_was_replaced_or_mistagged() -> None:
    finding = only(judge_elf(replace(GOOD, machine=EM_X86_64)))
    assert (finding.code, finding.path) == ("ELF-MACHINE", EXTENSION)
    assert finding.distribution == "fast"
    assert "_fast.cpython-313-aarch64-linux-gnu.so: cannot open shared object file" in finding.what
    assert "has the tag cp313-cp313-manylinux_2_28_aarch64, but what it holds" in finding.cause


def test_another_machine_is_the_only_finding_about_a_file() -> None:
    foreign = replace(
        GOOD, machine=EM_X86_64, needed=("libnope.so",), versions={"libc.so.6": ("GLIBC_9.9",)}
    )
    assert only(judge_elf(foreign)).code == "ELF-MACHINE"


def test_a_foreign_wheel_is_named_as_the_cause() -> None:
    files = layer(
        **{
            EXTENSION: None,
            X86_NAME: replace(GOOD, machine=EM_X86_64).build(),
            "python/fast-1.0.dist-info/RECORD": RECORD.replace("aarch64", "x86_64").encode(),
            "python/fast-1.0.dist-info/WHEEL": b"Tag: cp313-cp313-manylinux_2_28_x86_64\n",
        }
    )
    finding = only(judge(files))
    assert "cannot import name '_fast' from 'fast'" in finding.what
    assert finding.cause == "the wheel of fast is for x86_64: it was installed for another machine"


def test_a_renamed_file_is_told_from_a_foreign_wheel_by_the_record() -> None:
    files = layer(
        **{
            EXTENSION: replace(GOOD, machine=EM_X86_64).build(),
            "python/fast-1.0.dist-info/RECORD": RECORD.replace("aarch64", "x86_64").encode(),
        }
    )
    machine, missing = judge(files).errors
    assert (machine.code, missing.code) == ("ELF-MACHINE", "FILE-MISSING")
    assert machine.cause == (
        "its name says aarch64, and fast's RECORD does not list it: an x86_64 file was renamed or "
        "copied in"
    )
    assert missing.cause == f"it was renamed to {EXTENSION.rsplit('/', 1)[-1]}"


def test_a_foreign_file_that_nobody_lists() -> None:
    finding = only(judge(layer(**{"python/lost.so": replace(GOOD, machine=EM_X86_64).build()})))
    assert finding.distribution is None
    assert finding.cause == "it comes from a machine with x86_64, or from a wheel for one"


def test_what_python_says_of_a_module_outside_packages() -> None:
    name = "python/_top.cpython-312-aarch64-linux-gnu.so"
    finding = only(judge(layer(**{name: GOOD.build()})))
    assert finding.what.endswith("will say: No module named '_top'")


def test_files_for_every_machine_can_be_pruned() -> None:
    other = "python/fast/x86_64/libfast.so"
    files = layer(
        **{
            other: replace(GOOD, machine=EM_X86_64).build(),
            "python/fast-1.0.dist-info/RECORD": f"{RECORD}fast/x86_64/libfast.so,,\n".encode(),
        }
    )
    finding = only(judge(files))
    assert finding.code == "ELF-MACHINE"
    assert finding.next.endswith("prune: add: [fast/x86_64/libfast.so]")


SCREEN = replace(GOOD, machine=EM_X86_64).build()


@pytest.mark.parametrize(
    ("other", "own"),
    [
        ("fast/linux-x86_64/manager", "fast/linux-arm64/manager"),
        ("fast/libfast_amd64.so", "fast/libfast_arm64.so"),
        ("fast/driver-x64", "fast/driver-aarch64"),
    ],
)
def test_a_file_for_another_machine_beside_the_fitting_one(other: str, own: str) -> None:
    files = layer(**{f"python/{other}": SCREEN, f"python/{own}": GOOD.build()})
    finding = only(judge(files, recorded={"fast": [other, own]}))
    assert (finding.code, finding.severity) == ("ELF-MACHINE", Severity.WARNING)
    assert finding.what.endswith(f"python/{own} is the one that fits")
    assert finding.next == f"leave it out: prune: add: [{other}]"


@pytest.mark.parametrize("own", ["fast/linux-arm64/another", "other/linux-arm64/manager"])
def test_a_file_for_another_machine_without_a_fitting_one(own: str) -> None:
    files = layer(**{"python/fast/manager": SCREEN, f"python/{own}": GOOD.build()})
    recorded = {"fast": ["fast/manager"], "other": ["other/linux-arm64/manager"]}
    assert [one.severity for one in judge(files, recorded=recorded).findings] == [Severity.ERROR]


def test_code_for_a_gpu_only_looks_like_a_native_file() -> None:
    files = layer(**{"python/fast/kernel.ir": header(64, "<", 0)})
    assert only(judge(files)).severity is Severity.WARNING


def header(bits: int, order: str, machine: int) -> bytes:
    """Return an ELF header without segments and sections (gABI, ELF Header)."""
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    word = "Q" if bits == 64 else "I"
    sizes = (64, 56, 64) if bits == 64 else (52, 32, 40)
    return struct.pack(
        f"{order}16sHHI{word * 3}IHHHHHH",
        *(ident, 3, machine, 1, 0, 0, 0, 0),
        *(sizes[0], sizes[1], 0, sizes[2], 0, 0),
    )


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (header(32, "<", EM_386), "ELF-MACHINE", "is built for i386"),
        (header(32, "<", GOOD.machine), "ELF-CLASS", "is 32-bit, the layer"),
        (header(64, ">", GOOD.machine), "ELF-CLASS", "is 64-bit, big-endian, the layer"),
    ],
)
def test_word_size_and_byte_order(content: bytes, code: str, words: str) -> None:
    finding = only(judge(layer(**{EXTENSION: content})))
    assert finding.code == code
    assert words in finding.what


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("_fast.cpython-312-aarch64-linux-gnu.so", "EXT-PYTHON", "CPython 3.12"),
        ("_fast.cpython-313t-aarch64-linux-gnu.so", "EXT-PYTHON", "CPython 3.13 without the GIL"),
        ("_fast.pypy311-pp73-aarch64-linux-gnu.so", "EXT-PYTHON", "PyPy 311"),
        ("_fast.cpython-313-x86_64-linux-gnu.so", "EXT-PLATFORM", "x86_64-linux-gnu"),
        ("_fast.cpython-313-aarch64-linux-musl.so", "EXT-PLATFORM", "aarch64-linux-musl"),
    ],
)
def test_names_that_python_does_not_look_for(name: str, code: str, words: str) -> None:
    files = layer(**{EXTENSION: None, f"python/fast/{name}": GOOD.build()})
    found = {one.code: one for one in judge(files).errors}
    assert set(found) == {code, "FILE-MISSING"}
    assert words in found[code].what
    assert "cannot import name '_fast' from 'fast'" in found[code].what
    assert found["FILE-MISSING"].cause == f"it was renamed to {name}"


@pytest.mark.parametrize("name", ["_fast.abi3.so", "_fast.so"])
def test_names_that_fit_every_python(name: str) -> None:
    record = RECORD.replace("_fast.cpython-313-aarch64-linux-gnu.so", name)
    files = layer(
        **{
            EXTENSION: None,
            f"python/fast/{name}": GOOD.build(),
            "python/fast-1.0.dist-info/RECORD": record.encode(),
        }
    )
    assert judge(files).findings == []


def test_a_module_for_another_python_beside_the_right_one_is_only_dead_weight() -> None:
    old = EXTENSION.replace("313", "312")
    finding = only(judge(layer(**{old: GOOD.build()})))
    assert (finding.code, finding.severity) == ("EXT-PYTHON", Severity.WARNING)


def test_a_module_without_its_initializer() -> None:
    finding = only(judge_elf(replace(GOOD, exports=("PyInit__slow",))))
    assert (finding.code, finding.severity) == ("EXT-INIT", Severity.WARNING)


@pytest.mark.parametrize(
    ("runtime", "architecture", "library", "version", "code"),
    [
        ("python3.11", "arm64", "libc.so.6", "GLIBC_2.27", "VERSION-GLIBC"),
        ("python3.12", "arm64", "libc.so.6", "GLIBC_2.35", "VERSION-GLIBC"),
        ("python3.13", "arm64", "libm.so.6", "GLIBC_2.38", "VERSION-GLIBC"),
        ("python3.13", "arm64", "libc.so.6", "GLIBC_ABI_DT_RELR", "VERSION-GLIBC"),
        ("python3.13", "arm64", "libstdc++.so.6", "GLIBCXX_3.4.30", "VERSION-GLIBCXX"),
        ("python3.11", "arm64", "libstdc++.so.6", "CXXABI_1.3.12", "VERSION-CXXABI"),
        ("python3.13", "arm64", "libgcc_s.so.1", "GCC_12.0.0", "VERSION-GCC"),
        ("python3.13", "arm64", "libz.so.1", "ZLIB_1.2.12", "VERSION-ZLIB"),
    ],
)
def test_versions_above_the_runtime(
    runtime: str, architecture: str, library: str, version: str, code: str
) -> None:
    minor = runtime.removeprefix("python3.")
    files = layer(
        **{
            EXTENSION: None,
            EXTENSION.replace("313", f"3{minor}"): replace(
                GOOD, needed=(library,), versions={library: ("GLIBC_2.17", version)}
            ).build(),
            "python/fast-1.0.dist-info/RECORD": RECORD.replace("313", f"3{minor}").encode(),
        }
    )
    finding = only(judge(files, runtime=runtime, architecture=architecture))
    assert finding.code == code
    assert f"needs {version} of {library}" in finding.what
    assert f"version `{version}' not found" in finding.what


@pytest.mark.parametrize(
    ("library", "version"),
    [
        ("libc.so.6", "GLIBC_2.34"),
        ("libstdc++.so.6", "GLIBCXX_3.4.29"),
        ("libstdc++.so.6", "CXXABI_1.3.13"),
        ("libgcc_s.so.1", "GCC_11.0"),
        ("libc.so.6", "GLIBC_PRIVATE"),
    ],
)
def test_versions_of_the_runtime_are_fine(library: str, version: str) -> None:
    spec = replace(GOOD, needed=(library,), versions={library: (version,)})
    assert judge_elf(spec).findings == []


def test_a_library_in_the_layer_answers_for_its_own_versions() -> None:
    spec = replace(
        GOOD,
        needed=("libstdc++.so.6",),
        rpath="$ORIGIN/../fast.libs",
        versions={"libstdc++.so.6": ("GLIBCXX_3.4.33",)},
    )
    own = "python/fast.libs/libstdc++.so.6"
    new = TinyElf(soname="libstdc++.so.6", defines=("GLIBCXX_3.4.33",), debug=b"")
    old = replace(new, defines=("GLIBCXX_3.4.19",))
    good = judge(layer(**{EXTENSION: spec.build(), own: new.build()}))
    assert good.findings == []
    assert good.highest == {}
    assert only(judge(layer(**{EXTENSION: spec.build(), own: old.build()}))).code == "VERSION-OWN"


def needing(library: str, rpath: str | None = None) -> TinyElf:
    return replace(GOOD, needed=(library,), versions={}, rpath=rpath)


def test_a_library_of_a_layer_beside_answers_for_its_own_versions_too() -> None:
    spec = replace(GOOD, needed=("libstdc++.so.6",), versions={"libstdc++.so.6": ("GLIBCXX_9.9",)})
    files = layer(**{EXTENSION: spec.build()})
    assert [found.code for found in judge(files).findings] == ["VERSION-GLIBCXX"]
    assert judge(files, beside=["libstdc++.so.6"]).findings == []


def test_a_library_found_through_rpath() -> None:
    spec = needing("libx-12345678.so.1", rpath="$ORIGIN/../fast.libs")
    library = TinyElf(soname="libx-12345678.so.1", debug=b"").build()
    assert judge(layer(**{EXTENSION: spec.build(), LIBRARY: library})).findings == []


def test_a_deleted_folder_of_libraries() -> None:
    finding = only(judge_elf(needing("libx-12345678.so.1", rpath="$ORIGIN/../fast.libs")))
    assert finding.code == "NEEDED-MISSING"
    assert "libx-12345678.so.1: cannot open shared object file" in finding.what
    assert "(python/fast.libs) was deleted" in finding.cause


def test_a_library_that_a_rule_pruned() -> None:
    finding = only(
        judge_elf(
            needing("libx-12345678.so.1", rpath="$ORIGIN/../fast.libs"),
            removed={LIBRARY: "*.libs/"},
        )
    )
    assert finding.cause == f"the prune rule '*.libs/' removed {LIBRARY}"
    assert finding.next == "keep it: prune: keep: [fast.libs/libx-12345678.so.1]"


@pytest.mark.parametrize(
    ("library", "code", "severity", "cause"),
    [
        ("libopenblas.so.0", "NEEDED-MISSING", Severity.ERROR, "never repaired by auditwheel"),
        ("libpython3.12.so.1.0", "NEEDED-MISSING", Severity.ERROR, "another Python"),
        ("libc.musl-aarch64.so.1", "NEEDED-MUSL", Severity.ERROR, "Alpine Linux"),
        ("libssl.so.3", "NEEDED-INCIDENTAL", Severity.ERROR, "without bundling"),
        ("libexpat.so.1", "NEEDED-INCIDENTAL", Severity.ERROR, "without bundling"),
    ],
)
def test_libraries_of_the_system(library: str, code: str, severity: Severity, cause: str) -> None:
    finding = only(judge_elf(needing(library)))
    assert (finding.code, finding.severity) == (code, severity)
    assert cause in finding.cause


def test_the_runtimes_own_libpython_is_there() -> None:
    assert judge_elf(needing("libpython3.13.so.1.0")).findings == []


def test_a_library_that_no_path_leads_to() -> None:
    spec = needing("libx-12345678.so.1").build()
    library = TinyElf(debug=b"").build()
    repaired = only(judge(layer(**{EXTENSION: spec, LIBRARY: library})))
    assert (repaired.code, repaired.severity) == ("NEEDED-MISSING", Severity.ERROR)
    preloaded = "python/fast/native/libx-12345678.so.1"
    other = only(judge(layer(**{EXTENSION: spec, preloaded: library})))
    assert other.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("architecture", "flags", "refused"),
    [("arm64", 7, True), ("arm64", None, False), ("x86_64", None, True), ("x86_64", 6, False)],
)
def test_executable_stack(architecture: str, flags: int | None, refused: bool) -> None:
    machine = {"arm64": GOOD.machine, "x86_64": EM_X86_64}[architecture]
    spec = replace(GOOD, stack=flags, machine=machine).build()
    files = layer(**{EXTENSION: None, "python/fast/_fast.abi3.so": spec})
    codes = {one.code for one in judge(files, architecture=architecture).errors}
    assert ("STACK-EXECUTABLE" in codes) is refused


def test_an_absolute_search_path_from_which_a_library_should_come() -> None:
    report = judge_elf(
        replace(GOOD, needed=("libc.so.6", "libx.so.1"), runpath="$ORIGIN:/home/ci/build/lib")
    )
    assert [one.code for one in report.errors] == ["RPATH-ABSOLUTE", "NEEDED-MISSING"]
    assert report.errors[0].what == f"{EXTENSION} searches /home/ci/build/lib for libx.so.1"


def test_an_absolute_search_path_from_which_nothing_should_come() -> None:
    spec = replace(GOOD, needed=("libc.so.6", "libx.so.1"), runpath="/usr/local/lib:$ORIGIN")
    files = layer(**{EXTENSION: spec.build(), "python/fast/libx.so.1": TinyElf(debug=b"").build()})
    assert judge(files).findings == []


def test_a_library_that_the_source_vouches_for() -> None:
    python = runtimes.get("python3.13")
    known = dict(python.system.incidental)
    known["libuuid.so.1"] = replace(known["libuuid.so.1"], promised=True)
    vouched = replace(python, system=replace(python.system, incidental=known), minor=99)
    assert "libuuid.so.1" in policy.of(vouched, "arm64").libraries
    assert "libuuid.so.1" not in policy.of(vouched, "arm64").incidental
    assert "libuuid.so.1" not in policy.of(python, "arm64").libraries


def test_damaged() -> None:
    finding = only(judge(layer(**{EXTENSION: GOOD.build()[:100]})))
    assert finding.code == "ELF-DAMAGED"


@pytest.mark.parametrize(
    ("name", "head", "severity"),
    [
        ("python/fast/_fast.cp313-win_amd64.pyd", b"MZ\x90", Severity.ERROR),
        ("python/fast/helper.exe", b"MZ\x90", Severity.WARNING),
        ("python/fast/libfast.dylib", b"\xcf\xfa\xed\xfe", Severity.WARNING),
    ],
)
def test_other_systems(name: str, head: bytes, severity: Severity) -> None:
    finding = only(judge(layer(**{name: head + bytes(100)})))
    assert (finding.code, finding.severity) == ("ELF-FOREIGN", severity)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1200), st.binary(min_size=1, max_size=12))
def test_a_damaged_file_is_judged_and_never_a_crash(place: int, change: bytes) -> None:
    whole = replace(GOOD, rpath="$ORIGIN", soname="x", defines=("X_1",)).build()
    damaged = whole[:place] + change + whole[place + len(change) :]
    for finding in judge(layer(**{EXTENSION: damaged})).findings:
        assert finding.path == EXTENSION

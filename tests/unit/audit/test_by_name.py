"""Libraries that Python code loads by name."""

import marshal

import pytest
from layersmith.audit import by_name
from layersmith.audit.findings import Finding, Severity, grouped

from tests.support.tiny_elf import TinyElf
from tests.unit.audit.layers import judge, layer

SOURCE = "python/fast/loader.py"

MAGIC = """
def candidates():
    yield find_library('magic')
    if sys.platform == 'darwin':
        yield 'libother.so'
    elif sys.platform in ('win32', 'cygwin'):
        yield find_library('magic1')
    elif sys.platform == 'linux':
        yield 'libmagic.so.1'
for one in candidates():
    lib = ctypes.CDLL(one)
"""

CAIRO = """
def dlopen(ffi, library_names, filenames):
    for name in library_names:
        find_library(name)
    return ffi.dlopen(filenames[0])
cairo = dlopen(ffi, ('cairo-2', 'cairo', 'libcairo-2'), ('libcairo.so.2', 'libcairo.2.dylib'))
"""

PANGO = """
def _open(ffi, *names, allow_fail=False):
    for name in names:
        return ffi.dlopen(name)
pango = _open(ffi, 'libpango-1.0-0', 'pango-1.0', 'libpango-1.0.so.0', 'libpango-1.0-0.dll')
gobject = _open(ffi, 'gobject-2.0', 'libgobject-2.0.so.0')
"""


def found(source: str, **more: bytes) -> list[Finding]:
    report = judge(
        layer(**{SOURCE: source.encode(), **more}), recorded={"fast": ["fast/loader.py"]}
    )
    return [one for one in report.findings if one.code == "LIBRARY-MISSING"]


@pytest.mark.parametrize(
    ("source", "sonames"),
    [
        (MAGIC, ["libmagic.so.1"]),
        (CAIRO, ["libcairo.so.2"]),
        (PANGO, ["libgobject-2.0.so.0", "libpango-1.0.so.0"]),
        ("import ctypes.util\nx = ctypes.util.find_library('zbar')", ["libzbar.so.0"]),
        ("x = ctypes.cdll.LoadLibrary('libnobody.so.7')", ["libnobody.so.7"]),
        ("N = 'libnobody.so.7'\nctypes.CDLL(N)", ["libnobody.so.7"]),
        ("ctypes.CDLL('libexpat.so.1')", ["libexpat.so.1"]),
        ("if os.name != 'nt':\n    ctypes.CDLL('libnobody.so')", ["libnobody.so"]),
        ("if not platform.system() == 'Windows':\n    CDLL('libnobody.so')", ["libnobody.so"]),
        # Questions that are not understood may be answered by yes.
        ("if sys.platform.endswith('32'):\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if sys.platform.startswith():\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if release.startswith('10'):\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if debug:\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if 'a' == sys.platform == 'b':\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if sys.platform > 'win32':\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if not debug:\n    pass\nelse:\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if debug != 'x':\n    pass\nelse:\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if sys.platform > 'x':\n    pass\nelse:\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if sys.argv == 'win32':\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if process.platform == 'win32':\n    CDLL('libnobody.so')", ["libnobody.so"]),
        ("if platform.release() == 'x':\n    CDLL('libnobody.so')", ["libnobody.so"]),
    ],
)
def test_what_is_loaded(source: str, sonames: list[str]) -> None:
    findings = found(source)
    assert sorted(one.next.split()[1] for one in findings) == sonames
    assert all(one.severity is Severity.WARNING and one.path == SOURCE for one in findings)


@pytest.mark.parametrize(
    "source",
    [
        "ctypes.CDLL('libc.so.6')\nfind_library('c')\nCDLL('libstdc++.so.6')",
        "ctypes.CDLL(None)\nffi.dlopen(None)",
        "ctypes.CDLL(os.path.join(here, 'native', name))",
        "NAME = 'libnobody.so.7'",
        "if sys.platform == 'win32':\n    CDLL('libnobody.so')",
        "if sys.platform.startswith('darwin'):\n    CDLL('libnobody.so')",
        "if sys.platform != 'linux':\n    CDLL('libnobody.so')",
        "if sys.platform not in ('linux', 'linux2'):\n    CDLL('libnobody.so')",
        "if os.name == 'nt':\n    find_library('nobody')",
        "if platform.system() in ('Windows', 'Darwin'):\n    find_library('nobody')",
        "x = CDLL('kernel32') or CDLL('CoreFoundation') or CDLL('nobody.dll')",
        "not python: CDLL('libnobody.so')",
    ],
)
def test_what_is_not_loaded_or_there(source: str) -> None:
    assert found(source) == []


@pytest.mark.parametrize("place", ["lib/libmagic.so.1", "python/fast/libmagic.so"])
def test_a_library_of_the_layer(place: str) -> None:
    assert found(MAGIC, **{place: TinyElf(debug=b"").build()}) == []


@pytest.mark.parametrize(
    ("requires", "missing"),
    [
        ("fast-binary==1.0; extra == 'binary'", 0),
        ("other; extra == 'binary'", 1),
        ("fast-binary==1.0", 1),
    ],
)
def test_a_library_that_the_modules_of_an_extra_are_linked_to(requires: str, missing: int) -> None:
    """psycopg[binary] has libpq in psycopg_binary.libs; without the extra it is looked for."""
    more = {
        "python/fast-1.0.dist-info/METADATA": f"Name: fast\nRequires-Dist: {requires}\n".encode(),
        "python/fast_binary.libs/libmagic-0123abcd.so.1.0": TinyElf(debug=b"").build(),
        "python/fast_binary-1.0.dist-info/METADATA": b"Name: fast-binary\n",
        "python/fast_binary-1.0.dist-info/RECORD": b"fast_binary.libs/libmagic-0123abcd.so.1.0,,\n",
    }
    assert len(found(MAGIC, **more)) == missing


def test_what_would_bring_it_is_named() -> None:
    (finding,) = found(MAGIC)
    assert f"{SOURCE} loads libmagic.so.1 by name" in finding.what
    assert "file-libs of Amazon Linux 2023, libmagic1 of Debian" in finding.what


def test_the_copy_of_the_base_image_is_not_promised() -> None:
    (finding,) = found("find_library('expat')")
    assert "nobody promises the copy of the base image" in finding.what


def test_bytecode_in_the_place_of_its_source_holds_names() -> None:
    code = compile("import ctypes\nctypes.CDLL('libmagic.so.1')", "x", "exec")
    assert list(by_name._constants(marshal.dumps(code))) == ["libmagic.so.1"]


def test_each_library_is_a_line_of_its_own() -> None:
    assert len(grouped(found(PANGO))) == 2


@pytest.mark.parametrize("folder", ["tests", "examples"])
def test_tests_and_examples_are_left_out(folder: str) -> None:
    report = judge(layer(**{f"python/fast/{folder}/a.py": b"CDLL('libnobody.so')"}))
    assert report.findings == []


def test_the_table_is_whole() -> None:
    for name, row in by_name.table().libraries.items():
        assert by_name.SONAME.match(row["soname"]), name
        assert {"soname", "debian"} <= set(row) <= {"soname", "debian", "amazon"}, name


def test_a_layer_beside_this_one_brings_it() -> None:
    files = layer(**{SOURCE: MAGIC.encode()})
    recorded = {"fast": ["fast/loader.py"]}
    assert judge(files, recorded=recorded, beside=["libmagic.so.1"]).findings == []


def test_a_library_that_a_recipe_names_is_missed_once() -> None:
    known = {"fast": {"libmagic.so.1": "file-libs of Amazon Linux 2023", "libssl.so.3": "openssl"}}
    hidden = judge(layer(), libraries=known).findings
    (said,) = [one for one in hidden if one.code == "LIBRARY-MISSING" and "magic" in one.what]
    assert said.distribution == "fast"
    assert "file-libs of Amazon Linux 2023" in said.what
    seen = judge(
        layer(**{SOURCE: MAGIC.encode()}),
        recorded={"fast": ["fast/loader.py"]},
        libraries=known,
    ).findings
    assert len([one for one in seen if "magic" in one.what]) == 1
    there = layer(**{"lib/libmagic.so.1": TinyElf(soname="libmagic.so.1").build()})
    assert not [one for one in judge(there, libraries=known).findings if "magic" in one.what]

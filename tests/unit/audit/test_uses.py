"""A library that is missing matters where its file is loaded as its package is imported."""

import marshal
from dataclasses import replace

import pytest
from layersmith.audit import policy
from layersmith.audit.findings import Severity
from layersmith.audit.uses import at_the_top
from layersmith.base import runtimes

from tests.support.tiny_elf import TinyElf
from tests.unit.audit.layers import EXTENSION, GOOD, judge, layer

LACKING = replace(GOOD, needed=("libc.so.6", "libgone.so.1"))
INIT = "python/fast/__init__.py"


def severity(files: dict[str, bytes]) -> Severity:
    (finding,) = judge(files, recorded={"fast": ["fast/__init__.py"]}).findings
    assert finding.code == "NEEDED-MISSING"
    return finding.severity


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from ._fast import go", Severity.ERROR),
        ("from . import _fast", Severity.ERROR),
        ("import fast._fast as f", Severity.ERROR),
        ("class A:\n    from fast import _fast", Severity.ERROR),
        ("if True:\n    from . import _fast", Severity.ERROR),
        ("import importlib\nm = importlib.import_module('._fast', __name__)", Severity.ERROR),
        (
            "try:\n    from . import _fast\nexcept ImportError:\n    raise RuntimeError",
            Severity.ERROR,
        ),
        ("try:\n    from . import _fast\nexcept ValueError:\n    pass", Severity.ERROR),
        ("try:\n    from . import _fast\nfinally:\n    pass", Severity.ERROR),
        ("try:\n    from . import _fast\nexcept ImportError:\n    _fast = None", Severity.WARNING),
        ("with suppress(ImportError):\n    from . import _fast", Severity.WARNING),
        ("with suppress(KeyError):\n    from . import _fast", Severity.ERROR),
        ("with check(ImportError):\n    from . import _fast", Severity.ERROR),
        ("print('fast._fast')", Severity.WARNING),
        ("def go():\n    from ._fast import go", Severity.WARNING),
        ("async def go():\n    from . import _fast", Severity.WARNING),
        ("if TYPE_CHECKING:\n    from . import _fast", Severity.WARNING),
        ("NAME = '_fast'", Severity.WARNING),
        ("from ._fast_other import go", Severity.ERROR),
        ("not python: _fast", Severity.WARNING),
        ("", Severity.ERROR),
        ("def load(name):\n    return import_module(f'fast.{name}')", Severity.WARNING),
    ],
)
def test_where_an_extension_module_is_imported(source: str, expected: Severity) -> None:
    files = layer(**{EXTENSION: LACKING.build(), INIT: source.encode()})
    assert severity(files) is expected


def test_a_module_without_a_package_is_there_to_be_imported() -> None:
    spec = replace(LACKING, exports=("PyInit__top",))
    assert severity(layer(**{"python/_top.abi3.so": spec.build()})) is Severity.ERROR


def test_a_compiled_neighbour_may_import_it() -> None:
    quiet = {INIT: b"def go(): from . import _fast", EXTENSION: LACKING.build()}
    neighbour = replace(GOOD, exports=("PyInit_core",)).build() + b"\0_fast\0"
    assert severity(layer(**quiet)) is Severity.WARNING
    assert severity(layer(**quiet, **{"python/fast/core.abi3.so": neighbour})) is Severity.ERROR


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"ctypes.CDLL(here / 'lib_fast.so')", Severity.ERROR),
        (b"plugin = f'{name}.so'", Severity.WARNING),
    ],
)
def test_a_library_that_its_package_names(source: bytes, expected: Severity) -> None:
    library = replace(LACKING, exports=())
    files = layer(**{INIT: source, "python/fast/lib_fast.so": library.build(), EXTENSION: None})
    assert judge(files, recorded={"fast": ["fast/__init__.py"]}).findings[0].severity is expected


@pytest.mark.parametrize("source", [b"from . import _fast", b"def go(): from . import _fast"])
def test_what_a_module_needs_is_loaded_with_it(source: bytes) -> None:
    outer = replace(GOOD, needed=("liba.so",), rpath="$ORIGIN").build()
    files = {
        EXTENSION: outer,
        INIT: source,
        # Two that need each other, as libgssapi and its plugins do.
        "python/fast/liba.so": TinyElf(needed=("libb.so",), rpath="$ORIGIN", debug=b"").build(),
        "python/fast/libb.so": TinyElf(
            needed=("liba.so", "libgone.so.1"), rpath="$ORIGIN", debug=b""
        ).build(),
    }
    assert severity(layer(**files)) is (Severity.WARNING if b"go" in source else Severity.ERROR)


def test_bytecode_in_the_place_of_sources_does_not_tell_when_it_imports() -> None:
    code = marshal.dumps(compile("def go(): from . import _fast", "x", "exec"))
    pyc = policy.magic(runtimes.get("python3.13")) + bytes([1, 0, 0, 0]) + bytes(8) + code
    files = layer(**{INIT: None, INIT + "c": pyc, EXTENSION: LACKING.build()})
    (finding,) = judge(files, recorded={"fast": ["fast/__init__.pyc"]}).findings
    assert finding.severity is Severity.ERROR


def test_what_lies_outside_python_was_put_there_for_a_reason() -> None:
    library = TinyElf(needed=("libgone.so.1",), debug=b"").build()
    assert severity(layer(**{"lib/libown.so.1": library})) is Severity.ERROR


def test_names_of_relative_imports() -> None:
    source = "from .. import a\nfrom ..b import c\nfrom . import d\nimport x.y"
    found = set(at_the_top(source, "python/p/q/r.py"))
    assert {"p.a", "p.b", "p.b.c", "p.q.d", "x", "x.y"} <= found


def test_a_layer_beside_this_one_brings_a_library() -> None:
    files = layer(**{EXTENSION: LACKING.build()})
    assert judge(files, beside=["libgone.so.1"]).findings == []

from __future__ import annotations

import importlib.util
import marshal
import sys
from types import CodeType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layersmith.assemble import bytecode_worker as worker

SOURCE = """
class Outer:
    '''Text.'''
    name = "Outer"
    def method(self, a, *, b=(1, 2.5, -0.0, 10**30, 1j, b"bytes", "wörter", None, ...)):
        def inner():
            return a, b, {"x", "y"}, "inner text with spaces"
        return inner
def other(x, y=("argtypes", "flags")):
    return [i for i in range(x) if i in (1, 2, 3)] or (lambda: (x, y))
async def late(z):
    async with z as q:
        yield q
"""


def same(a: object, b: object) -> bool:
    """Compare code objects by everything that decides what they do."""
    if isinstance(a, CodeType) and isinstance(b, CodeType):
        return a == b and all(map(same, a.co_consts, b.co_consts))
    return type(a) is type(b) and repr(a) == repr(b) if not isinstance(a, tuple) else a == b


def normal(code: CodeType) -> bytes:
    return worker.write(worker.read(marshal.dumps(code)))


def test_the_normal_form_is_the_same_code() -> None:
    code = compile(SOURCE, "demo.py", "exec")
    assert same(marshal.loads(normal(code)), code)


def test_the_normal_form_is_its_own_normal_form() -> None:
    once = normal(compile(SOURCE, "demo.py", "exec"))
    assert worker.write(worker.read(once)) == once


def test_what_the_process_holds_does_not_matter() -> None:
    first = normal(compile(SOURCE, "demo.py", "exec"))
    # A plain dump changes once anybody else holds the same names.
    held = [sys.intern(name) for name in ("Outer.method", "inner", "wörter")]
    kept = compile(SOURCE, "demo.py", "exec")
    assert normal(kept) == first
    assert held


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(st.text(), max_size=3),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=200)
def test_any_constant_survives(value: Any) -> None:
    written = worker.write(worker.read(marshal.dumps(value)))
    assert repr(marshal.loads(written)) == repr(value) or marshal.loads(written) == value


def test_a_pyc_is_unchecked_hash() -> None:
    pyc = worker.compile_source("python/demo.py", b"x = 1\n")
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(pyc[4:8], "little") == 0b01
    assert pyc[8:16] == importlib.util.source_hash(b"x = 1\n")
    code = marshal.loads(pyc[16:])
    assert code.co_filename == "/opt/python/demo.py"


def test_a_source_that_does_not_compile_raises() -> None:
    with pytest.raises(SyntaxError):
        worker.compile_source("python/template.py", b"print '{{ name }}'\n")


@pytest.mark.parametrize(
    ("optimize", "document", "raises"), [(0, "Text.", True), (1, "Text.", False), (2, None, False)]
)
def test_levels_leave_out_asserts_and_docstrings(
    optimize: int, document: str | None, raises: bool
) -> None:
    source = (
        b"'Text.'\nraised = False\ntry:\n    assert False\n"
        b"except AssertionError:\n    raised = True\n"
    )
    pyc = worker.compile_source("python/demo.py", source, optimize)
    found: dict[str, Any] = {}
    exec(marshal.loads(pyc[16:]), found)
    assert (found.get("__doc__"), found["raised"]) == (document, raises)

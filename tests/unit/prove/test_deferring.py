"""Imports of a function's own modules move only where nothing asks for them before."""

from __future__ import annotations

import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from layersmith.errors import ConfigError
from layersmith.prove.cold import deferring

if TYPE_CHECKING:
    from pathlib import Path

APP = '''
"""A function."""
from __future__ import annotations
import decimal as d
import json; import re
from fractions import Fraction
import os.path
import os.path as other
import csv
from statistics import *
import base64
import queue
import colorsys
import html
import quopri

PATTERN = re.compile("x")
both = [json.dumps(one) for one in ()]

class Base(other.supports_unicode_filenames.__class__):
    size = base64.b64encode(b"")

    def method(self, value: Fraction = None):
        """Doc."""
        return d.Decimal(1) + (lambda: Fraction(1))().numerator

def handler(event, context, colorsys=None):
    """Handle."""
    if event is None:
        return [Fraction(one) for one in (1, 2)]
    def inner(d=2):
        try:
            pass
        except d.Never:
            return d
        return html.escape(event)
    global queue
    queue = 2
    return colorsys or inner() + os.path.join("a", "b")

RAW = lambda: quopri.encode
'''


def found(folder: Path) -> dict[str, deferring.OwnImport]:
    (folder / "app.py").write_text(APP)
    return {one.statement: one for one in deferring.find(folder)}


@pytest.mark.parametrize(
    ("statement", "stays"),
    [
        ("import decimal as d", ""),
        ("from fractions import Fraction", ""),
        ("import html", ""),
        ("import os.path", ""),
        ("import json", "json is used while the module is imported"),
        ("import re", "re is used while the module is imported"),
        ("import os.path as other", "other is used while the module is imported"),
        ("import csv", "no function of the module uses it"),
        ("from statistics import *", "it imports whatever is there"),
        ("import base64", "base64 is used while the module is imported"),
        ("import queue", "queue is bound more than once"),
        ("import colorsys", "no function of the module uses it"),
        ("import quopri", "quopri is used while the module is imported"),
    ],
)
def test_what_can_wait(tmp_path: Path, statement: str, stays: str) -> None:
    assert found(tmp_path)[statement].stays == stays


def test_a_moved_import_runs_where_it_is_used_and_says_so(tmp_path: Path) -> None:
    imports = [one for one in found(tmp_path).values() if not one.stays]
    source = dedent(APP).replace(
        "class Base(other.supports_unicode_filenames.__class__):", "class Base:"
    )
    text = deferring.moved(source, imports, range(len(imports)))
    assert text.count("import decimal as d") == 1, "inner() has a parameter of that name"
    seen = type(sys)(deferring.SEEN)
    seen.used = set()  # type: ignore[attr-defined]
    sys.modules[deferring.SEEN] = seen
    try:
        known: dict[str, Any] = {}
        exec(compile(text, "app.py", "exec"), known)
        assert not {"d", "Fraction", "html", "os"} & set(known)
        assert known["handler"].__doc__ == "Handle."
        assert known["handler"]("<", None) == "&lt;a/b"
        assert {imports[number].statement for number in seen.used} == {
            "import html",
            "import os.path",
        }
        assert known["Base"]().method() == 2
        assert len(seen.used) == 4
    finally:
        del sys.modules[deferring.SEEN]


def test_installed_distributions_and_hidden_folders_are_not_the_functions_own(
    tmp_path: Path,
) -> None:
    for name in ("app.py", "lib/inside.py", "vendored/x.py", ".venv/y.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("import json\ndef f():\n    return json\n")
    (tmp_path / "vendored-1.dist-info").mkdir()
    (tmp_path / "vendored-1.dist-info" / "RECORD").write_text("vendored/x.py,,\n")
    assert [one.place for one in deferring.find(tmp_path)] == ["app.py:1", "lib/inside.py:1"]
    (tmp_path / "app.py").write_text("import\n")
    with pytest.raises(ConfigError, match=r"app\.py: not valid Python here"):
        deferring.find(tmp_path)

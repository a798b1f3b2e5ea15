"""Licences of METADATA: as expressions where that is certain, as names everywhere else."""

from __future__ import annotations

import json
import tomllib
from email.parser import HeaderParser
from typing import TYPE_CHECKING

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from layersmith.assemble import wheel
from layersmith.assemble.bill import licenses, sbom
from layersmith.assemble.collect import Part

from tests.support import wheels
from tests.unit.report import made

if TYPE_CHECKING:
    from pathlib import Path

OSI = "Classifier: License :: OSI Approved :: "


@pytest.mark.parametrize(
    ("lines", "expression"),
    [
        (["License-Expression: mit or apache-2.0"], "MIT OR Apache-2.0"),
        (["License-Expression: LicenseRef-Mine", "License: MIT"], "LicenseRef-Mine"),
        (["License: BSD-3-Clause"], "BSD-3-Clause"),
        (["License: The Apache License, Version 2.0", f"{OSI}Apache Software License"],
         "Apache-2.0"),
        ([f"{OSI}MIT License"], "MIT"),
        (["Classifier: License :: OSI Approved", f"{OSI}ISC License (ISCL)"], "ISC"),
        (["License: GPL", f"{OSI}GNU General Public License v3 or later (GPLv3+)"],
         "GPL-3.0-or-later"),
        (["License: MIT OR Zlib", f"{OSI}MIT License"], "MIT OR Zlib"),
        (["License: UNKNOWN", f"{OSI}MIT License"], "MIT"),
        (["License: Permission is hereby granted,\n        free of charge", f"{OSI}MIT License"],
         "MIT"),
    ],
)  # fmt: skip
def test_what_is_certain_is_an_expression(lines: list[str], expression: str) -> None:
    found = licenses.of(HeaderParser().parsestr("\n".join(lines)))
    assert (found.expression, found.shown) == (expression, expression)


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        ([], None),
        (["License: BSD"], "BSD"),
        ([f"{OSI}BSD License"], "BSD License"),
        ([f"{OSI}Apache Software License"], "Apache Software License"),
        ([f"{OSI}GNU General Public License v3 (GPLv3)"], "GNU General Public License v3 (GPLv3)"),
        ([f"{OSI}MIT License", f"{OSI}ISC License (ISCL)"], "MIT License, ISC License (ISCL)"),
        (["License: Dual License", f"{OSI}MIT License"], "Dual License, MIT License"),
        (["License: MIT", f"{OSI}ISC License (ISCL)"], "MIT, ISC License (ISCL)"),
        (["License-Expression: Sleepycat-ish", "License: MIT"], "Sleepycat-ish"),
    ],
)
def test_what_is_not_certain_stays_a_name(lines: list[str], shown: str | None) -> None:
    found = licenses.of(HeaderParser().parsestr("\n".join(lines)))
    assert (found.expression, found.shown) == (None, shown)


def test_the_table_maps_to_expressions_of_spdx() -> None:
    for table in tomllib.loads(licenses.TABLE.read_text("utf-8")).values():
        for said, expression in table.items():
            assert licenses.canonical(expression) == expression, said


def test_the_bill_holds_the_expression_and_the_texts(tmp_path: Path) -> None:
    info = "alpha-1.0.dist-info"
    files = {
        f"{info}/licenses/LICENSE": b"Permission is hereby granted",
        f"{info}/licenses/vendored/COPYING": b"caf\xe9",
        f"{info}/licenses/huge": b" " * (licenses.LARGEST_TEXT + 1),
        f"{info}/NOTICE.txt": b"notice",
        f"{info}/TERMS": b"terms",
        f"{info}/entry_points.txt": b"",
        "alpha/LICENSE": b"of a part",
    }
    lines = ["License-Expression: MIT AND Zlib", "License-File: TERMS"]
    path = wheels.make(tmp_path, "alpha", files, metadata=lines)
    read = wheel.read(path, "alpha")
    inside = sbom.embedded([Part("alpha", "1.0", "wheel", wheel=read)])
    template = made.manifest().distributions[0]
    alpha = template.model_copy(
        update={
            "name": "alpha",
            "license": read.license.shown,
            "license_expression": read.license.expression,
        }
    )
    text = sbom.render(made.manifest().model_copy(update={"distributions": [alpha]}), inside)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    component = json.loads(text)["components"][0]
    assert component["licenses"] == [{"expression": "MIT AND Zlib", "acknowledgement": "declared"}]
    texts = {
        one["license"]["name"].removeprefix(f"{info}/"): one["license"].get("text", {})
        for one in component["evidence"]["licenses"]
    }
    assert {name: one.get("content") for name, one in texts.items()} == {
        "licenses/LICENSE": "Permission is hereby granted",
        "licenses/vendored/COPYING": "caf\xe9",
        "licenses/huge": None,
        "NOTICE.txt": "notice",
        "TERMS": "terms",
    }

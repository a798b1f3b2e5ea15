"""Function zips and state machines on their way to the artifact bucket."""

from __future__ import annotations

import io
import os
import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ConfigError
from layersmith.stacks import assets

if TYPE_CHECKING:
    from pathlib import Path


def function(folder: Path, name: str = "some_function") -> Path:
    made = folder / "lambdas" / name
    (made / "__pycache__").mkdir(parents=True)
    (made / "__pycache__/handler.pyc").write_bytes(b"\0")
    (made / "handler.py").write_text("def handler(event, context): ...\n", "utf-8")
    return made


def test_the_same_folder_makes_the_same_zip_whatever_its_dates_and_modes(tmp_path: Path) -> None:
    made = function(tmp_path)
    first = assets.zip_function(made)
    os.utime(made / "handler.py", (1, 1))
    (made / "handler.py").chmod(0o600)
    assert assets.zip_function(made) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == ["handler.py"]
        assert archive.infolist()[0].external_attr >> 16 == 0o100644


def test_a_change_of_content_is_a_change_of_the_key(tmp_path: Path) -> None:
    made = function(tmp_path)
    machines = tmp_path / "machines"
    machines.mkdir()
    (machines / "some-machine.asl.json").write_text("{}", "utf-8")
    before = assets.collect(tmp_path / "lambdas", machines)
    assert set(before) == {"SomeFunctionKey", "SomeMachineKey"}
    (made / "handler.py").write_text("# changed\n", "utf-8")
    after = assets.collect(tmp_path / "lambdas", machines)
    assert after["SomeFunctionKey"].key != before["SomeFunctionKey"].key
    assert after["SomeMachineKey"] == before["SomeMachineKey"]


def test_a_function_brings_the_functions_that_it_imports(tmp_path: Path) -> None:
    made = function(tmp_path)
    function(tmp_path, "other_function")
    (made / "handler.py").write_text("from other_function import handler\nimport json\n", "utf-8")
    with zipfile.ZipFile(io.BytesIO(assets.zip_function(made))) as archive:
        assert archive.namelist() == ["handler.py", "other_function/handler.py"]
    before = assets.collect(tmp_path / "lambdas", tmp_path)["SomeFunctionKey"].key
    (made.parent / "other_function/handler.py").write_text("# changed\n", "utf-8")
    assert assets.collect(tmp_path / "lambdas", tmp_path)["SomeFunctionKey"].key != before
    (made / "handler.py").write_text("def", "utf-8")
    with pytest.raises(ConfigError, match="is not Python"):
        assets.collect(tmp_path / "lambdas", tmp_path)


def test_a_function_may_have_any_module_and_a_package_is_none(tmp_path: Path) -> None:
    lambdas = tmp_path / "tests/lambdas"
    for name in ("orders/src/app.py", "common/src/shared.py", "docs/tests/test_it.py"):
        (lambdas / name).parent.mkdir(parents=True)
        (lambdas / name).write_text("def run(event, context): ...\n", "utf-8")
    (lambdas / "common/pyproject.toml").touch()
    found = assets.collect(lambdas, tmp_path)
    assert set(found) == {"OrdersKey"}
    with zipfile.ZipFile(io.BytesIO(found["OrdersKey"].content)) as archive:
        assert archive.namelist() == ["src/app.py"]


def test_a_definition_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.asl.json").write_text("{", "utf-8")
    with pytest.raises(ConfigError, match="not JSON"):
        assets.collect(tmp_path, tmp_path)

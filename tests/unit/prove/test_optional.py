"""What is optional, and what only looks like it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from layersmith.base import runtimes
from layersmith.prove.layer_zip import LayerZip
from layersmith.prove.models import Cause, ImportFailure
from layersmith.prove.smoke import closure, failures
from layersmith.prove.smoke.failures import cure

from tests.support import zips

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES = {
    "python/shop/__init__.py": b"",
    "python/shop/cart.py": b"",
    "python/shop/_fast.cpython-313-aarch64-linux-gnu.so": b"\x7fELF PyInit__fast",
    "python/shop/_plain.abi3.so": b"\x7fELF",
    "python/space/one/__init__.py": b"",
    "python/shop-1.0.dist-info/METADATA": b"Name: shop\nVersion: 1.0\n"
    b"Requires-Dist: pandas; extra == 'tables'\nRequires-Dist: pyyaml\n",
    "python/shop-1.0.dist-info/RECORD": b"shop/__init__.py,,\nshop/cart.py,,\nshop/pruned.py,,\n"
    b"shop/_fast.cpython-313-aarch64-linux-gnu.so,,\nspace/one/__init__.py,,\n"
    b"gone/__init__.py,,\n",
    "python/wide/store/__init__.py": b"",
    "python/wide/_store/__init__.py": b"",
    "python/wide/store_grpc.py": b"",
    "python/wide_store-1.0.dist-info/METADATA": b"Name: wide-store\nVersion: 1.0\n",
    "python/wide_store-1.0.dist-info/RECORD": b"wide/store/__init__.py,,\n"
    b"wide/_store/__init__.py,,\nwide/store_grpc.py,,\n",
    "python/opentelemetry/instrumentation/flask/__init__.py": b"",
    "python/instrument_flask-1.0.dist-info/METADATA": b"Name: instrument-flask\nVersion: 1.0\n",
    "python/instrument_flask-1.0.dist-info/RECORD": b"opentelemetry/instrumentation/flask/"
    b"__init__.py,,\n",
    "python/wide/buffer/__init__.py": b"",
    "python/wide/_buffer.py": b"",
    "python/proto-1.0.dist-info/METADATA": b"Name: proto\nVersion: 1.0\n",
    "python/proto-1.0.dist-info/RECORD": b"wide/buffer/__init__.py,,\nwide/_buffer.py,,\n",
}


class Judge(Protocol):
    def __call__(self, *chain: Cause, module: str = ..., known: Mapping[str, str] = ...) -> str: ...


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    layer = LayerZip(zips.write(tmp_path / "layer.zip", FILES))
    held = closure.of(layer, runtimes.get("python3.13"), "arm64", None)

    def judged(
        *chain: Cause, module: str = "shop.cart", known: Mapping[str, str] | None = None
    ) -> str:
        return str(
            failures.optional_reason(module, ImportFailure(chain=list(chain)), held, known or {})
        )

    return judged


def missing(name: str, *, within: str | None = None, where: str = "shop.cart") -> Cause:
    return Cause(
        type="ModuleNotFoundError",
        message=f"No module named {name!r}",
        kinds=["ImportError", "Exception"],
        name=name,
        within=within,
        where=where,
        absent=[name],
    )


def said(
    message: str, *, kind: str = "ImportError", where: str = "shop.cart", **more: object
) -> Cause:
    facts: dict[str, object] = {"raised": True, "kinds": ["ImportError"], **more}
    return Cause.model_validate({"type": kind, "message": message, "where": where, **facts})


class TestOptional:
    def test_a_distribution_that_nobody_asked_for(self, judge: Judge) -> None:
        assert judge(missing("pandas")) == "needs pandas, which the layer does not ask for"

    def test_another_part_of_a_namespace(self, judge: Judge) -> None:
        assert "space.two" in judge(missing("space.two"))

    def test_an_extra_that_the_package_names(self, judge: Judge) -> None:
        assert "shop[tables]" in judge(said("please `pip install shop[tables]`"))

    def test_an_error_of_its_own_over_the_missing_module(self, judge: Judge) -> None:
        assert "pandas" in judge(said("no tables", kind="TableError", kinds=[]), missing("pandas"))

    def test_what_the_message_names_was_looked_for(self, judge: Judge) -> None:
        assert "numexpr" in judge(said("numexpr is not installed", absent=["numexpr"]))

    def test_what_the_message_names_is_of_an_extra(self, judge: Judge) -> None:
        assert "pandas" in judge(said("Please install pandas v2.3.3 (or later)."))

    def test_a_module_for_another_system(self, judge: Judge) -> None:
        assert judge(missing("winreg")) == "is made for Windows"
        assert "macOS" in judge(said("Only macOS is supported"))

    def test_a_module_by_its_name(self, judge: Judge) -> None:
        assert "Windows" in judge(said("", kind="AssertionError"), module="click._winconsole")

    def test_a_library_with_the_name_of_an_extension(self, judge: Judge) -> None:
        text = "dynamic module does not define module export function (PyInit__plain)"
        failed = Cause(type="ImportError", message=text)
        assert "plain library" in judge(failed, module="shop._plain")

    def test_a_name_that_only_a_missing_module_would_bind(self, judge: Judge) -> None:
        used = Cause(
            type="NameError",
            message="name 'pd' is not defined",
            where="shop.cart",
            absent=["pandas"],
        )
        assert "pandas" in judge(used)

    def test_an_error_that_another_module_raises_once_more(self, judge: Judge) -> None:
        """sentry_sdk.integrations.fastapi says again what .starlette said."""
        first = said("no tables", kind="TableError", kinds=[], where="shop.tables")
        again = said("no tables", kind="TableError", kinds=[])
        assert "pandas" in judge(again, first, missing("pandas", where="shop.tables"))

    def test_a_class_whose_base_only_a_missing_module_would_bind(self, judge: Judge) -> None:
        based = Cause(
            type="TypeError",
            message="NoneType takes no arguments",
            where="shop.cart",
            absent=["pandas"],
        )
        assert "pandas" in judge(based)

    def test_a_module_that_says_that_it_is_gone(self, judge: Judge) -> None:
        gone = said("No module named 'shop.cart'. Use shop.carts", kind="ModuleNotFoundError")
        assert judge(gone.model_copy(update={"name": "shop.cart", "within": "shop"})) == (
            "only says that it was removed"
        )

    @pytest.mark.parametrize("module", ["wide.store_grpc", "wide._store", "wide._buffer"])
    def test_what_a_distribution_has_beside_it_in_a_namespace(
        self, judge: Judge, module: str
    ) -> None:
        assert "pandas" in judge(missing("pandas", where=module), module=module)

    def test_an_instrumentation_of_what_is_not_there(self, judge: Judge) -> None:
        """It is what its distribution is imported as, and is made for another one."""
        module = "opentelemetry.instrumentation.flask"
        assert "needs flask" in judge(missing("flask", where=module), module=module)
        assert judge(missing("gone", where=module), module=module) == "None"

    def test_the_env_of_alembic(self, judge: Judge) -> None:
        text = "module 'alembic.context' has no attribute 'config'"
        assert "Alembic" in judge(Cause(type="AttributeError", message=text, where="shop.cart"))

    def test_what_is_known_from_elsewhere(self, judge: Judge) -> None:
        assert judge(said("anything"), known={"shop.c*": "is a recipe's"}) == "is a recipe's"


class TestProblems:
    @pytest.mark.parametrize(
        "cause",
        [
            pytest.param(missing("shop.pruned", within="shop"), id="pruned"),
            pytest.param(missing("gone"), id="pruned-whole"),
            pytest.param(missing("gone.part"), id="pruned-around"),
            pytest.param(missing("shop.never", within="shop"), id="inside-a-package"),
            pytest.param(missing("yaml"), id="declared"),
            pytest.param(missing("_sqlite3"), id="python-itself"),
            pytest.param(missing("botocore.new"), id="runtime"),
            pytest.param(
                Cause(
                    type="ImportError",
                    message="cannot import name 'x' from 'shop'",
                    name="shop",
                    where="shop.cart",
                ),
                id="symbol",
            ),
            pytest.param(
                Cause(
                    type="ImportError",
                    message="libpq.so.5: cannot open shared object file: No such file",
                    where="shop.cart",
                ),
                id="library",
            ),
            pytest.param(said("failed to find libmagic"), id="library-by-name"),
            pytest.param(said("something is missing"), id="no-name"),
            pytest.param(
                said("pip install shop[tables]", absent=["shop._fast"]), id="blames-an-extra"
            ),
            pytest.param(
                Cause(
                    type="AttributeError",
                    message="'NoneType' object has no attribute 'x'",
                    where="shop.cart",
                    absent=["pandas", "shop._fast"],
                ),
                id="went-on-without-an-own-module",
            ),
        ],
    )
    def test_of_one_cause(self, judge: Judge, cause: Cause) -> None:
        assert judge(cause) == "None"

    def test_a_top_level_module(self, judge: Judge) -> None:
        assert judge(missing("pandas"), module="shop") == "None"

    @pytest.mark.parametrize("module", ["wide.store", "wide.buffer"])
    def test_what_a_distribution_is_imported_as_in_a_namespace(
        self, judge: Judge, module: str
    ) -> None:
        assert judge(missing("pandas", where=module), module=module) == "None"

    def test_what_fails_while_another_failure_is_handled(self, judge: Judge) -> None:
        symbol = Cause(
            type="ImportError", message="cannot import name 'y' from 'shop'", where="shop.cart"
        )
        assert judge(symbol, missing("pandas")) == "None"

    def test_an_error_of_another_module(self, judge: Judge) -> None:
        other = said("no wrapper", kind="OSError", kinds=[], where="shop.other")
        assert judge(other, missing("pandas")) == "None"

    def test_another_error_than_the_one_it_followed_from(self, judge: Judge) -> None:
        first = said("no tables", kind="TableError", kinds=[], where="shop.tables")
        other = said("no chairs", kind="TableError", kinds=[])
        assert judge(other, first, missing("pandas", where="shop.tables")) == "None"

    def test_a_module_that_nobody_says_is_gone(self, judge: Judge) -> None:
        lost = missing("shop.cart", within="shop")
        assert judge(lost) == "None", "Python itself did not find it"

    def test_a_program_that_ends_over_what_is_declared(self, judge: Judge) -> None:
        ended = Cause(type="SystemExit", message="1", where="shop.cart")
        assert judge(ended, missing("yaml")) == "None"
        assert "program" in judge(ended)

    def test_an_extension_that_starts_nothing_else(self, judge: Judge) -> None:
        text = "dynamic module does not define module export function (PyInit__other)"
        assert judge(Cause(type="ImportError", message=text), module="shop._fast") == "None"


def test_what_layers_yaml_is_to_change(tmp_path: Path) -> None:
    layer = LayerZip(zips.write(tmp_path / "layer.zip", FILES))
    held = closure.of(layer, runtimes.get("python3.13"), "arm64", None)

    def cured(name: str, within: str | None = None) -> str:
        return str(cure(ImportFailure(chain=[missing(name, within=within)]), held))

    assert cured("yaml").startswith("pyyaml brings it")
    assert "brings pandas" in cured("pandas")
    assert cured("shop.never", "shop") == "None"

"""What the lite BLAS is made of, without compiling it."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes
from layersmith.errors import BuildError
from layersmith.liteblas import compiler, imports
from layersmith.liteblas.imports import Imports

from tests.support import wheels
from tests.support.tiny_elf import EM_X86_64, TinyElf

if TYPE_CHECKING:
    from pathlib import Path

AL2023 = runtimes.get("python3.13")
SONAME = "libscipy_openblas64_-0123abcd.so"
LIBRARY = f"numpy.libs/{SONAME}"


def wanted(*symbols: str) -> Imports:
    return Imports(
        "2.3.5", LIBRARY, SONAME, "arm64", "scipy_", "64_", symbols, ("numpy/linalg/a.so",)
    )


class TestReentrant:
    def test_locals_become_automatic(self) -> None:
        source = "int f_(void)\n{\n    static integer i__, j;\n    static real t[4]\t/* x */;\n}\n"
        expected = "int f_(void)\n{\n    integer i__, j;\n    real t[4]\t/* x */;\n}\n"

        assert compiler.reentrant(source) == expected

    def test_tables_and_literals_become_constant(self) -> None:
        source = (
            "static integer c__1 = 1;\nint f_(void)\n{\n    static logical z[2] = { 0,1 };\n}\n"
        )

        made = compiler.reentrant(source)

        assert "static const integer c__1 = 1;" in made
        assert "    static const logical z[2] = { 0,1 };" in made

    def test_functions_and_what_is_constant_stay(self) -> None:
        source = "static int helper(int a)\n{\n}\nstatic const int x = 1;\n"

        assert compiler.reentrant(source) == source


ROUTINE = """\
/* Subroutine */ int {name}(integer *n)
{{
    extern /* Subroutine */ int {called}(integer *);
    {called}(n);
    return 0;
}} /* {name} */
"""


class TestCalledBy:
    def test_what_no_root_reaches_is_left_out(self) -> None:
        head = "static const integer c__1 = 1;\n\n"
        sources = {
            "f2c_lapack.c": head
            + ROUTINE.format(name="dgesv_", called="dgetrf_")
            + ROUTINE.format(name="dgeev_", called="dtrevc_")
            + ROUTINE.format(name="dgetrf_", called="dscal_"),
            "f2c_blas.c": ROUTINE.format(name="drot_", called="dscal_")
            + ROUTINE.format(name="dscal_", called="xerbla_"),
        }

        assert compiler.called_by(["dgesv_"], sources) == {
            "f2c_lapack.c": head
            + ROUTINE.format(name="dgesv_", called="dgetrf_")
            + ROUTINE.format(name="dgetrf_", called="dscal_"),
            "f2c_blas.c": ROUTINE.format(name="dscal_", called="xerbla_"),
        }

    def test_what_the_kernels_have_is_not_compiled_twice(self) -> None:
        sources = {"f2c_blas.c": ROUTINE.format(name="dgemm_", called="lsame_")}

        assert compiler.called_by(["dgemm_"], sources) == {"f2c_blas.c": ""}

    def test_a_function_returns_a_value(self) -> None:
        source = "doublereal dnrm2_(integer *n)\n{\n    return 0.;\n} /* dnrm2_ */\n"

        assert compiler.called_by(["dnrm2_"], {"a.c": source}) == {"a.c": source}
        assert compiler.called_by([], {"a.c": source}) == {"a.c": ""}

    def test_declarations_and_what_ends_otherwise_stay(self) -> None:
        source = "extern doublereal dlapy2_(doublereal *x);\nint odd_(void)\n{\n}\n"

        assert compiler.called_by([], {"a.c": source}) == {"a.c": source}


class TestNaming:
    @pytest.mark.parametrize(
        ("symbols", "expected"),
        [
            (["scipy_cblas_zdotc_sub64_", "scipy_dgesv_64_"], ("scipy_", "64_")),
            (["cblas_dgemm64_", "dgesv_64_"], ("", "64_")),
            (["cblas_dgemm", "dgesv_"], ("", "")),
        ],
    )
    def test_schemes_of_different_years(
        self, symbols: list[str], expected: tuple[str, str]
    ) -> None:
        assert imports.naming(symbols) == expected

    def test_a_mixture_is_refused(self) -> None:
        with pytest.raises(BuildError, match="2 naming schemes"):
            imports.naming(["scipy_dgesv_64_", "dgesv_"])

    def test_another_function_is_named(self) -> None:
        with pytest.raises(BuildError, match="openblas_get_config"):
            imports.naming(["scipy_dgesv_64_", "openblas_get_config"])


class TestRead:
    def test_another_distribution_is_refused(self, tmp_path: Path) -> None:
        wheel = wheels.make(tmp_path, "scipy", {})

        with pytest.raises(BuildError, match=r"fits numpy's wheel, not scipy-1\.0"):
            imports.read(wheel)

    def test_a_numpy_without_openblas_is_refused(self, tmp_path: Path) -> None:
        wheel = wheels.make(tmp_path, "numpy", {"numpy/_core/a.so": TinyElf().build()})

        with pytest.raises(BuildError, match="bundles 0 OpenBLAS libraries") as caught:
            imports.read(wheel)
        assert "nothing to replace" in str(caught.value)

    def test_a_text_file_called_so_is_passed_over(self, tmp_path: Path) -> None:
        files = {LIBRARY: b"INPUT(libopenblas.so)"}
        wheel = wheels.make(tmp_path, "numpy", files)

        with pytest.raises(BuildError, match="bundles 0 OpenBLAS libraries"):
            imports.read(wheel)


class TestUnpack:
    def test_a_missing_source_is_named(self, tmp_path: Path) -> None:
        sdist = tmp_path / "numpy-9.0.tar.gz"
        with tarfile.open(sdist, "w:gz"):
            pass

        with pytest.raises(BuildError, match=r"lacks LICENSE.txt, f2c.c, .* of numpy/linalg"):
            compiler.unpack(sdist, tmp_path, [])


class TestCommands:
    def test_routines_are_named_without_what_the_wheel_puts_around_them(self) -> None:
        made = wanted("scipy_dgesv_64_", "scipy_cblas_ddot64_")

        assert made.routines == {"dgesv_", "cblas_ddot"}

    def test_names_and_integers_follow_the_wheel(self) -> None:
        made = compiler.units(wanted("scipy_dgesv_64_"))

        for arguments in made.values():
            assert "-DBLAS_PREFIX=scipy_" in arguments
            assert "-DBLAS_SUFFIX=64_" in arguments
            assert "-DBLAS_INT=int64_t" in arguments

    def test_no_absolute_path_reaches_the_compiler(self) -> None:
        made = compiler.units(wanted("scipy_dgesv_64_"))

        assert not [word for words in made.values() for word in words if "/" in word]

    def test_only_what_is_imported_is_exported(self) -> None:
        script = compiler.version_script(["scipy_cblas_ddot64_", "scipy_dgesv_64_"])

        assert re.findall(r"[\w*]+;", script) == ["scipy_cblas_ddot64_;", "scipy_dgesv_64_;", "*;"]


class TestCheck:
    def library(self, **changes: object) -> bytes:
        settings = {
            "soname": SONAME,
            "needed": ("libc.so.6",),
            "versions": {"libc.so.6": ("GLIBC_2.17",)},
            "exports": ("scipy_dgesv_64_",),
            **changes,
        }
        return TinyElf(**settings).build()  # type: ignore[arg-type]

    def test_a_good_library_passes(self) -> None:
        assert imports.check_drop_in(self.library(), wanted("scipy_dgesv_64_"), AL2023) == "2.17"

    def test_a_missing_symbol_is_named(self) -> None:
        with pytest.raises(BuildError, match=r"no scipy_zgesv_64_, which numpy 2\.3\.5 imports"):
            imports.check_drop_in(
                self.library(), wanted("scipy_dgesv_64_", "scipy_zgesv_64_"), AL2023
            )

    def test_a_newer_glibc_is_refused(self) -> None:
        content = self.library(versions={"libc.so.6": ("GLIBC_2.17", "GLIBC_2.38")})

        with pytest.raises(BuildError, match=r"GLIBC_2\.38, and python3\.13 has 2\.34"):
            imports.check_drop_in(content, wanted("scipy_dgesv_64_"), AL2023)

    @pytest.mark.parametrize(
        "changes", [{"soname": "libopenblas.so"}, {"machine": EM_X86_64}, {"needed": ("libx.so",)}]
    )
    def test_what_numpy_would_not_load_is_refused(self, changes: dict[str, object]) -> None:
        with pytest.raises(BuildError, match=r"lite BLAS (is|needs)"):
            imports.check_drop_in(self.library(**changes), wanted("scipy_dgesv_64_"), AL2023)

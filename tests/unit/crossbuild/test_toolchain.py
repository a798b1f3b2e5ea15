"""How the host's Python is made to speak of the target, and what backends are told."""

from __future__ import annotations

import configparser
from fnmatch import fnmatch
from pathlib import Path

import pytest
from layersmith.config.models import BuildOptions
from layersmith.crossbuild import backend, toolchain
from layersmith.crossbuild.sdist import CrossBuildOptions, Project
from layersmith.crossbuild.toolchain import Toolchain, Zig

HOST: dict[str, toolchain.Value] = {
    "AR": "gcc-ar",
    "CC": "gcc -pthread",
    "CFLAGS": "-march=x86-64-v3 -g",
    "EXT_SUFFIX": ".cpython-313-x86_64-linux-gnu.so",
    "LDFLAGS": "-L/opt/python/lib",
    "LDSHARED": "gcc -shared -L/opt/python/lib",
    "LIBDIR": "/opt/python/lib",
    "MULTIARCH": "x86_64-linux-gnu",
    "Py_ENABLE_SHARED": 1,
    "SIZEOF_LONG": 8,
    "SOABI": "cpython-313-x86_64-linux-gnu",
}
TOOLS = {"CC": "aarch64-cc", "CXX": "aarch64-c++", "AR": "aarch64-ar", "RANLIB": "aarch64-ranlib"}


@pytest.fixture
def tools(tmp_path: Path) -> Toolchain:
    made = Toolchain(
        tmp_path / "tools", "aarch64-linux-gnu.2.34", "aarch64", Path("/r/include"), Path("/r")
    )
    made.write(Zig(Path("/opt/zig dir/zig"), "0.17.1"))
    return made


class TestVariables:
    def test_suffix_and_compiler_are_those_of_the_target(self) -> None:
        made = toolchain.sysconfig_variables(HOST, "aarch64", TOOLS)

        assert made["EXT_SUFFIX"] == ".cpython-313-aarch64-linux-gnu.so"
        assert made["SOABI"] == "cpython-313-aarch64-linux-gnu"
        assert made["LDSHARED"] == "aarch64-cc -shared"
        assert made["SIZEOF_LONG"] == 8
        assert made["Py_ENABLE_SHARED"] == 0

    def test_nothing_of_the_host_is_left(self) -> None:
        made = toolchain.sysconfig_variables(HOST, "aarch64", TOOLS)

        said = " ".join(str(value) for value in made.values())
        for word in ("x86", "gcc", "/opt/python", "-march"):
            assert word not in said

    def test_a_python_without_multiarch(self) -> None:
        host = {**HOST, "MULTIARCH": "", "EXT_SUFFIX": ".cpython-313-x86_64-linux-gnu.so"}

        made = toolchain.sysconfig_variables(host, "aarch64", TOOLS)

        assert made["EXT_SUFFIX"] == ".cpython-313-aarch64-linux-gnu.so"

    def test_the_module_holds_them(self) -> None:
        found: dict[str, object] = {}

        exec(toolchain.sysconfig_module({"A": "it's", "B": 1}), found)

        assert found["build_time_vars"] == {"A": "it's", "B": 1}

    def test_pyconfig_loses_what_only_x86_has(self) -> None:
        header = "#define SIZEOF_LONG 8\n#define VA_LIST_IS_ARRAY 1\n"

        assert toolchain.pyconfig(header, "x86_64") == header
        assert toolchain.pyconfig(header, "aarch64") == (
            "#define SIZEOF_LONG 8\n/* #undef VA_LIST_IS_ARRAY */\n"
        )


class TestToolchain:
    def test_the_compiler_has_the_target_and_hides_the_folder(self, tools: Toolchain) -> None:
        script = (tools.folder / "aarch64-linux-gnu-cc").read_text()

        assert "exec '/opt/zig dir/zig' cc -target aarch64-linux-gnu.2.34" in script
        assert "-ffile-prefix-map=/r=/build" in script

    @pytest.mark.parametrize(
        "word", ["-march=native", "-mtune=generic", "-mavx2", "-I/usr/include/x", "-L/usr/lib"]
    )
    def test_arguments_for_the_host_are_dropped(self, word: str) -> None:
        assert any(fnmatch(word, pattern) for pattern in toolchain.DROPPED)

    @pytest.mark.parametrize("word", ["-O3", "-I/r/include", "-Iinclude", "-L.", "-mbranch-x"])
    def test_all_others_stay(self, word: str) -> None:
        assert not any(fnmatch(word, pattern) for pattern in toolchain.DROPPED)

    def test_meson_is_told_of_the_machine(self, tools: Toolchain) -> None:
        parsed = configparser.ConfigParser()
        parsed.read_string(tools.meson_file.read_text())

        assert parsed["host_machine"]["cpu_family"] == "'aarch64'"
        assert parsed["binaries"]["c"] == "'aarch64-linux-gnu-cc'"
        assert parsed["binaries"]["pkg-config"] == "'false'"
        assert parsed["properties"]["longdouble_format"] == "'IEEE_QUAD_LE'"

    def test_cmake_is_told_of_the_machine(self, tools: Toolchain) -> None:
        text = tools.cmake_file.read_text()

        assert 'set(CMAKE_SYSTEM_PROCESSOR "aarch64")' in text
        assert 'set(CMAKE_CXX_COMPILER "aarch64-linux-gnu-c++")' in text


class TestOptions:
    def test_those_of_layers_yaml_win_over_the_layer(self) -> None:
        asked = BuildOptions(setup_args=["-Da=1"], environment={"A": "2"})

        options = CrossBuildOptions.of(asked, {"A": "1", "B": "1"})

        assert options.environment == {"A": "2", "B": "1"}
        assert options.record == {"setup_args": ["-Da=1"], "environment": {"A": "2", "B": "1"}}

    def test_no_options_leave_no_record(self) -> None:
        assert CrossBuildOptions.of(None).record == {}

    @pytest.mark.parametrize(
        ("module", "expected"),
        [
            (
                "mesonpy",
                {"setup-args": ["--cross-file=FILE", "-Da=1"], "build-dir": "build-layersmith"},
            ),
            ("scikit_build_core.build", {"cmake.args": "-Da=1", "build-dir": "build-layersmith"}),
            ("setuptools.build_meta", {"--build-option": ["-Da=1"]}),
        ],
    )
    def test_each_backend_gets_them_its_own_way(
        self, tools: Toolchain, module: str, expected: dict[str, object]
    ) -> None:
        project = Project("thing", "1.0", module, (), ())

        made = backend.config_settings(project, CrossBuildOptions(("-Da=1",)), tools)

        said = {
            key: [word.replace(str(tools.meson_file), "FILE") for word in value]
            if isinstance(value, list)
            else value
            for key, value in made.items()
        }
        assert said == expected

    def test_config_settings_are_passed_on(self, tools: Toolchain) -> None:
        project = Project("thing", "1.0", "mesonpy", (), ())
        options = CrossBuildOptions(config_settings={"build-dir": "elsewhere"})

        assert backend.config_settings(project, options, tools)["build-dir"] == "elsewhere"

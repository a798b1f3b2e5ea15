"""layers.yaml as a user writes it: what is accepted, and how every mistake is reported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from layersmith.config import loader, schema
from layersmith.config.models import BytecodeMode, RequirementsFile
from layersmith.errors import ConfigError
from pydantic import ValidationError

if TYPE_CHECKING:
    from .conftest import Load, Problems

GOOD = """\
defaults:
  runtimes: ["python3.12", "python3.13"]
  budgets: {unzipped: 250MB, growth: 10%}
  environment: {A: one, B: two}
  forbid-imports: [tkinter]
layers:
  one:
    description: the first
    version: 1.0.0
    requirements: ["pillow>=11", 'numpy; platform_machine == "aarch64"']
    budgets: {zipped: 30MB, cold-start: 450ms}
    environment: {B: three}
  two:
    description: the second
    version: 2.0.0-rc.1
    runtimes: ["python3.13"]
    requirements: [requests]
    forbid-imports: [PIL]
    bytecode: only
functions:
  both: {layers: [one, two], memory: 1024}
"""


def layer(text: str, *, name: str = "one") -> str:
    """Return a document with one layer that says ``text`` beside what it must say."""
    head = "defaults: {runtimes: [python3.13]}\nlayers:\n"
    needed = "    description: d\n    version: 1.0.0\n    requirements: [pillow]\n"
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    kept = "".join(
        f"{line}\n"
        for line in needed.splitlines()
        if f"\n{line.split(':')[0]}:" not in f"\n{lines}"
    )
    return f"{head}  {name}:\n{kept}{lines}"


def test_what_a_layer_says_wins_over_the_defaults(load: Load) -> None:
    one, two = load(GOOD).config.layers.values()
    assert one.runtimes == ["python3.12", "python3.13"]
    assert two.runtimes == ["python3.13"]
    assert one.forbid_imports == ["tkinter"]
    assert two.forbid_imports == ["PIL"], "lists are replaced, not joined"
    assert one.architectures == two.architectures == ["arm64"]
    assert two.bytecode is BytecodeMode.ONLY


def test_budgets_and_environment_are_merged_key_by_key(load: Load) -> None:
    one = load(GOOD).config.layers["one"]
    assert one.budgets.unzipped == 250_000_000
    assert one.budgets.zipped == 30_000_000
    assert one.budgets.cold_start == pytest.approx(0.45)
    assert one.budgets.growth == 10
    assert one.environment == {"A": "one", "B": "three"}


def test_positions_of_own_and_inherited_settings(load: Load) -> None:
    loaded = load(GOOD)
    assert loaded.position("layers", "one", "budgets") == (11, 5)
    assert loaded.position("layers", "one", "budgets", "zipped") == (11, 15)
    assert loaded.position("layers", "one", "budgets", "unzipped") == (3, 13), "from the defaults"
    assert loaded.position("layers", "two", "budgets") == (3, 3)
    assert loaded.position("layers", "two", "nothing", "there") == (13, 3)


def test_root_is_the_folder_of_the_file(load: Load, tmp_path: Path) -> None:
    assert load(GOOD).root == tmp_path
    assert loader.load(tmp_path).path == tmp_path / "layers.yaml", "a folder may be given, too"


def test_the_file_of_this_repository_is_valid() -> None:
    loaded = loader.load(Path(__file__).parents[3] / "layers.yaml")
    assert {"chromadb-vector", "imaging", "vector-common"} <= set(loaded.config.layers)
    for one in loaded.config.layers.values():
        assert "python3.13" in one.runtimes


def test_the_example_of_the_reference_is_valid(load: Load) -> None:
    assert set(load(schema.EXAMPLE).config.functions) == {"query"}


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "layers.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert set(loader.load(path).config.layers) == {"one", "two"}


def test_all_problems_come_in_one_report_in_the_order_of_the_file(problems: Problems) -> None:
    text = """\
defaults:
  runtimes: ["python3.12", python3.31]
  budgets: {zipd: 3MB}
layers:
  one:
    description: d
    version: 1.0
    requirments: [pillow]
    strip: on
    budgets: {zipped: 30Mx}
    smoke: tests/none.py
  Two:
    description:
    version: 1.0.0
    requirements: pillow
    packages: [../elsewhere]
functions:
  f: {layers: [oen], memory: 1}
"""
    found = problems(text)
    assert [line.partition(": ")[0] for line in found] == [
        f"layers.yaml:{place}"
        for place in (
            "2:28", "3:13", "7:14", "8:5", "9:12", "10:23", "11:12", "12:3", "13:17", "15:19",
            "16:16", "18:16", "18:30",
        )
    ]  # fmt: skip
    report = "\n".join(found)
    assert "defaults.runtimes[1]: unknown runtime 'python3.31'; known: python3.10" in report
    assert "defaults.budgets.zipd: unknown key; did you mean zipped?" in report
    assert 'layers.one.version: quote it: YAML reads 1.0 as a number, write "1.0.0"' in report
    assert "layers.one.requirments: unknown key; did you mean requirements?" in report
    assert "functions.f.layers[0]: unknown layer oen; did you mean one?" in report


def test_a_problem_of_the_defaults_is_reported_once(problems: Problems) -> None:
    text = GOOD.replace("growth: 10%", "growth: ten")
    (problem,) = problems(text)
    assert problem.startswith("layers.yaml:3:38: defaults.budgets.growth: a growth is a percent")


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("version: 3.10", "6:14", 'YAML reads 3.10 as a number, write "3.10.0"'),
        ("version: 1", "6:14", 'write "1.0.0"'),
        ("version: 1.2", "6:14", 'write "1.2.0"'),
        ("version: 1e3", "6:14", "not a semantic version"),
        ("version: 1.5e+3", "6:14", 'write a version, e.g. "1.2.0"'),
        ("version: 1.0.0+build", "6:14", "not a semantic version"),
        ("version: 01.0.0", "6:14", "not a semantic version"),
        ("version: 2026-11-21", "6:14", "not a semantic version"),
        ("description: ''", "6:18", "at least 1 character"),
        ("runtimes: [python2.7]", "7:16", "unknown runtime 'python2.7'"),
        ("runtimes: [3.13]", "7:16", "quote it: YAML reads 3.13 as a number, write python3.13"),
        ("runtimes: [3.10]", "7:16", "write python3.10"),
        ("runtimes: [3.9]", "7:16", "write one of python3.10, python3.11"),
        ("runtimes: []", "7:5", "at least one entry"),
        ("runtimes: python3.13", "7:15", "a list is expected here: [python3.13]"),
        ("runtimes: [python3.13, python3.13]", "7:5", "listed twice: python3.13"),
        ("architectures: [aarch64]", "7:21", "unknown architecture 'aarch64'; known: arm64, x86"),
        ("architectures: [ARM64]", "7:21", "unknown architecture"),
        ("requirements: ['pillow >']", "6:20", "not a requirement (PEP 508)"),
        ("requirements: ['x @ https://example.org/x.html']", "6:20", "not that of a wheel"),
        ("requirements: ['x @ https://me:pass@h.test/x.whl']", "6:20", "holds a login"),
        ("requirements: ['x @ git+https://token@h.test/x']", "6:20", "holds a login"),
        ("requirements: ['x @ file:///x']", "6:20", "list a folder under `packages`"),
        ("requirements: {file: requirements.txt}", "6:26", "there is no file requirements.txt"),
        ("requirements: []", "3:3", "a layer needs requirements, packages, modules or files"),
        ("files: {/lib/x: x}", "7:13", "not a path in the layer"),
        ("files: {lib/../x: x}", "7:13", "not a path in the layer"),
        ("files: {lib//x: x}", "7:13", "not a path in the layer"),
        ("files: {lib/x: ../x}", "7:20", "lies outside the folder of layers.yaml"),
        ("files: [lib/x]", "7:5", "a mapping is expected"),
        ("beside: [one]", "7:14", "unknown layer one"),
        (
            "beside: [{arn: 'arn:aws:lambda:eu-west-1:123456789012:layer:x', libraries: [x.so]}]",
            "7:20",
            "not the ARN of a layer version",
        ),
        ("beside: [{libraries: [x.so]}]", "7:14", "arn: this key is missing"),
        ("constraints: [12]", "7:19", "quote it"),
        ("excludes: [numpy]", "7:5", "a mapping is expected"),
        ("excludes: {numpy: x}", "7:23", "at least 3 characters"),
        ("excludes: {'numpy>1': because}", "7:16", "not the name of a distribution"),
        ("stubs: {numpy: {path: nowhere, reason: because}}", "7:27", "there is no folder nowhere"),
        ("stubs: {numpy: {path: /etc, reason: because}}", "7:27", "not a path relative"),
        ("prune: {add: [/tests]}", "7:19", "not a glob below python/"),
        ("prune: {add: [python/numpy]}", "7:19", "not a glob below python/"),
        ("prune: {keeps: []}", "7:13", "unknown key; did you mean keep?"),
        ("bytecode: timestamp", "7:15", "one of 'unchecked-hash', 'none' or 'only'"),
        ("optimize: 3", "7:15", "less than or equal to 2"),
        ("optimize: 2\nbytecode: none", "3:3", "`optimize` is a level of bytecode"),
        ("strip: 'true please'", "7:12", "true or false is expected"),
        ("environment: {'A B': x}", "7:19", "not the name of an environment variable"),
        ("environment: {A: 1}", "7:22", "quote it"),
        ("budgets: {zipped: 30M}", "7:23", "a size is a number with a unit"),
        ("budgets: {zipped: 0}", "7:23", "greater than 0"),
        ("budgets: {unzipped: 262144001B}", "7:25", "262,144,000 bytes (250MiB)"),
        ("budgets: {unzipped: 1GB}", "7:25", "1,000,000,000 bytes are more than Lambda takes"),
        ("budgets: {cold-start: 10.1s}", "7:27", "10.1 s is longer than Lambda lets a function"),
        ("budgets: {cold-start: 3m}", "7:27", "a duration is a number with ms or s"),
        ("budgets: {cold-start: -1}", "7:27", "greater than 0"),
        ("budgets: {growth: 5 percent}", "7:23", "a growth is a percentage"),
        ("budgets:", "7:13", "no value is given"),
        ("cold_start: 3s", "7:5", "unknown key"),
        ("forbid_imports: [PIL]", "7:5", "did you mean forbid-imports?"),
        ("forbid-imports: ['not a module']", "7:22", "not a module"),
        ("packages: [nowhere]", "7:16", "there is no folder nowhere"),
        ("packages: [../up]", "7:16", "lies outside the folder of layers.yaml"),
        ("extras: {pillow: ['a b']}", "7:23", "not the name of an extra"),
        ("smoke: tests/smoke/none.py", "7:12", "there is no file tests/smoke/none.py"),
        ("regions: [europe]", "7:15", "not a region"),
        ("principals: [123456789012]", "7:18", 'write "123456789012"'),
        ("principals: ['12345']", "7:18", "not public, an organization"),
        ("license: 5", "7:14", "quote it"),
        ("build: {numpy: {version: 'two'}}", "7:30", "not a version (PEP 440)"),
        ("managed-layers: Powertools", "7:21", "a list is expected here: [Powertools]"),
    ],
)
def test_mistakes_in_a_layer(problems: Problems, text: str, position: str, message: str) -> None:
    (problem,) = problems(layer(text))
    assert problem.startswith(f"layers.yaml:{position}: ")
    assert message in problem


def test_numbers_without_a_unit_are_bytes_seconds_and_percent(load: Load) -> None:
    text = layer("budgets: {zipped: 30, unzipped: 1KiB, cold-start: 2, growth: 5}")
    budgets = load(text).config.layers["one"].budgets
    assert (budgets.zipped, budgets.unzipped) == (30, 1024)
    assert (budgets.cold_start, budgets.growth) == (2, 5)


def test_urls_of_wheels_sdists_and_repositories_are_requirements(load: Load) -> None:
    lines = [
        "a @ https://example.org/a-1-py3-none-any.whl",
        "b @ https://example.org/b-1.tar.gz",
        "c @ git+https://example.org/c@main#subdirectory=c",
        "d @ git+ssh://git@example.org/d",
    ]
    assert load(layer(f"requirements: {lines}")).config.layers["one"].requirements == lines


def test_a_mapping_of_requirements_is_judged_as_a_file_alone(problems: Problems) -> None:
    assert problems(layer("requirements: {fil: x}")) == [
        "layers.yaml:6:5: layers.one.requirements.file: this key is missing",
        "layers.yaml:6:20: layers.one.requirements.fil: unknown key; did you mean file?",
    ]


@pytest.mark.parametrize("name", ["Upper", "under_score", "-x", "x--y", "9lives", "x" * 65, "a b"])
def test_names_of_layers(problems: Problems, name: str) -> None:
    (problem,) = problems(layer("strip: true", name=f"'{name}'"))
    assert problem.startswith("layers.yaml:3:3: ")
    assert "is not a name" in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("# nothing but a comment\n", "the file is empty"),
        ("layers: {}\n", "at least one entry is needed"),
        ("layers:\n", "no value is given"),
        ("- layers\n", "a mapping is expected here"),
        ("just text\n", "a mapping is expected here"),
        ("defaults: {runtimes: [python3.13]}\n", "layers: this key is missing"),
        ("defaults: {version: 1.0.0}\nlayers: {a: {}}\n", "version cannot be set under `defaults`"),
        ("layer: {}\nlayers: {a: 5}\n", "unknown key; did you mean layers?"),
    ],
)
def test_mistakes_of_the_whole_file(problems: Problems, text: str, message: str) -> None:
    assert any(message in problem for problem in problems(text))


def test_a_layer_without_runtimes_anywhere(problems: Problems) -> None:
    text = layer("strip: true").replace("defaults: {runtimes: [python3.13]}", "defaults: {}")
    assert problems(text) == ["layers.yaml:3:3: layers.one.runtimes: this key is missing"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no layers\.yaml in .*nowhere"):
        loader.load(tmp_path / "nowhere" / "layers.yaml")


def test_bytes_that_are_not_utf8_have_a_position(tmp_path: Path) -> None:
    path = tmp_path / "layers.yaml"
    path.write_bytes("layers:\n  x: caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"layers\.yaml:2:9: this is not UTF-8"):
        loader.load(path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "layers.yaml"
    path.write_bytes(b"#" * (loader.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        loader.load(path)


def test_a_file_that_is_named_may_not_leave_the_folder_through_a_link(
    problems: Problems, tmp_path: Path
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "pyproject.toml").touch()
    (tmp_path / "package").symlink_to(outside)
    (problem,) = problems(layer("packages: [package]"))
    assert "lies outside" in problem


def test_a_package_needs_a_pyproject_and_the_closest_folder_is_suggested(
    problems: Problems, tmp_path: Path
) -> None:
    (tmp_path / "lambdas" / "common").mkdir(parents=True)
    (problem,) = problems(layer("packages: [lambdas/common]"))
    assert "holds no pyproject.toml" in problem
    (problem,) = problems(layer("packages: [lambdas/comon]"))
    assert "did you mean lambdas/common?" in problem


def test_requirements_from_a_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("pillow\n")
    one = load(layer("requirements: {file: requirements.txt}")).config.layers["one"]
    assert one.requirements == RequirementsFile(file="requirements.txt")


TWO_LAYERS = """\
layers:
  a: {description: d, version: 1.0.0, requirements: [x], runtimes: [python3.12]}
  b: {description: d, version: 1.0.0, requirements: [x], runtimes: [python3.13],
      architectures: [x86_64], managed-layers: [One, Two]}
functions:
  f:
    layers: %s
"""


@pytest.mark.parametrize(
    ("used", "messages"),
    [
        ("[a, b]", ["none of their runtimes in common (a: python3.12; b: python3.13)",
                    "none of their architectures in common (a: arm64; b: x86_64)"]),
        ("[a, zzz]", ["7:17: functions.f.layers[1]: unknown layer zzz; known: a, b"]),
        ("[a, a]", ["a is listed twice"]),
        ("[b, a, c, d]", ["6 layers with the managed One, Two; a function can use 5",
                          "unknown layer c", "unknown layer d", "runtimes", "architectures"]),
        ("[]", ["at least one entry is needed"]),
        ("a", ["a list is expected here: [a]"]),
    ],
)  # fmt: skip
def test_layers_that_functions_use_together(
    problems: Problems, used: str, messages: list[str]
) -> None:
    found = "\n".join(problems(TWO_LAYERS % used))
    for message in messages:
        assert message in found


APP = """\
import os
from other import imported as handled
try:
    from fast import run
except ImportError:
    def run(event, context): ...
if os.environ:
    made, (also, _) = handled, (run, 1)
def lambda_handler(event, context):
    def hidden(): ...
"""


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        ("app.lambda_handler", None),
        ("app.handled", None),
        ("app.run", None),
        ("app.also", None),
        ("src/orders/app.main", None),
        ("src.orders.app.main", None),
        ("src/orders.main", None),
        ("src/broken.main", None),
        ("fast.main", None),
        ("open.anything", None),
        ("app.hidden", "handler: app.py does not define hidden"),
        ("app.lambda_handle", "app.py does not define lambda_handle; did you mean app.lambda_h"),
        ("src/app.main", "handler: there is no src/app.py in code; `handler` may be app.lambda_h"),
        ("handler.handler", "handler: there is no handler.py in code"),
        ("app", "'app' is not a handler: the module below `code`"),
        ("../app.run", "is not a handler"),
        ("app.py:run", "is not a handler"),
    ],
)
def test_a_handler_is_found_in_the_code(
    load: Load, problems: Problems, tmp_path: Path, handler: str, message: str | None
) -> None:
    modules = {
        "app.py": APP,
        "src/orders/app.py": "def main(): ...",
        "src/orders/__init__.py": "from .app import *",
        "src/broken.py": "def (",
        "open.py": "def __getattr__(name): ...",
        "fast.cpython-313-aarch64-linux-gnu.so": "",
    }
    for name, text in modules.items():
        path = tmp_path / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    text = f"{layer('')}functions:\n  f: {{layers: [one], code: code, handler: {handler}}}\n"
    if message is None:
        assert load(text).config.functions["f"].handler == handler
    else:
        assert message in "\n".join(found := problems(text))
        assert found[0].startswith("layers.yaml:8:43: functions.f.handler: ")


def test_a_handler_needs_code(problems: Problems) -> None:
    text = f"{layer('')}functions:\n  f: {{layers: [one], handler: app.run}}\n"
    assert problems(text) == [
        "layers.yaml:8:31: functions.f.handler: a handler is looked for in `code`, which is missing"
    ]


PACKAGED = """\
defaults: {runtimes: [python3.13], budgets: {zipped: 9MB, growth: 10%%}, strip: false}
layers:
  a: {description: d, version: 1.0.0, requirements: [x]}
  b: {description: d, version: 1.0.0, requirements: [x], architectures: [x86_64, arm64]}
functions:
  %s
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("f: {package: true, layers: [a]}", "`package: true` needs `code`"),
        ("f: {code: code}", "a function needs layers, or `package: true`"),
        ("f: {layers: [a], requirements: [y]}", "with `package: true` take `requirements`"),
        ("f: {layers: [a], keep-provided: [y]}", "with `package: true` take `keep-provided`"),
        ("a: {package: true, code: code, layers: [b]}", "6:3: functions.a: a layer is called a"),
        ("f: {package: true, code: .}", "functions.f.code: the folder of layers.yaml"),
        ("f: {package: true, code: code, requirements: r.txt}", "there is no file r.txt"),
        ("f: {package: true, code: code, requirements: [a b]}", "not a requirement (PEP 508)"),
        ("f: {package: true, code: code, regions: [eu-west-1]}", "unknown key"),
        (
            "f: {package: true, code: code, layers: [b, a], architectures: [x86_64]}",
            "functions.f.architectures: not all of its layers are built for x86_64",
        ),
        ("f: {package: true, code: code, handler: app.x}", "functions.f.handler: there is no app"),
        ("f: {package: true, code: empty}", "functions.f.handler: there is no handler.py in empty"),
    ],
)
def test_a_package_that_cannot_be_built_is_refused(
    problems: Problems, tmp_path: Path, function: str, message: str
) -> None:
    for name in ("code/handler.py", "empty/note.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("def handler(event, context): ...\n", "utf-8")
    assert message in "\n".join(problems(PACKAGED % function))


def test_a_package_takes_the_defaults_that_decide_its_content(load: Load, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/handler.py").write_text("def handler(event, context): ...\n", "utf-8")
    functions = (
        "f: {package: true, code: code, budgets: {zipped: 1MB}}\n  g: {layers: [a], code: code}"
    )
    found = load(PACKAGED % functions).config.functions
    assert (found["f"].budgets.zipped, found["f"].budgets.growth) == (1_000_000, 10.0)
    assert found["f"].strip is False
    assert found["g"].budgets.zipped is None


BESIDE = """\
layers:
  below: {description: d, version: 1.0.0, files: {lib/x.so: x.so}, runtimes: [python3.13]}
  above: {description: d, version: 1.0.0, requirements: [x], beside: [below],
      runtimes: [python3.12, python3.13], architectures: [arm64, x86_64]}
functions:
  f: {layers: [above]}
"""


def test_a_layer_beside_another_is_built_for_the_same_and_used_with_it(problems: Problems) -> None:
    assert problems(BESIDE) == [
        "layers.yaml:3:71: layers.above.beside[0]: below is not built for the runtimes python3.12",
        "layers.yaml:3:71: layers.above.beside[0]: below is not built for the architectures x86_64",
        "layers.yaml:6:7: functions.f.layers: above needs below beside it; list it here, too",
    ]


def test_files_need_not_exist_before_the_layer_is_built(load: Load) -> None:
    text = """\
layers:
  native: {description: d, version: 1.0.0, runtimes: [python3.13], files: {lib/x.so: out/x.so}}
"""
    assert load(text).config.layers["native"].files == {"lib/x.so": "out/x.so"}


def test_a_loaded_config_does_not_change(load: Load) -> None:
    one = load(GOOD).config.layers["one"]
    with pytest.raises(ValidationError, match="frozen"):
        one.version = "9.9.9"  # type: ignore[misc]


def test_code_that_cannot_be_a_module(problems: Problems, tmp_path: Path) -> None:
    for name in ("a/util.py", "b/util.py", "json/x.py", "good/x.txt", "my-code/x.py", "built/x.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "built" / "pyproject.toml").touch()
    (tmp_path / "link").symlink_to("..")
    modules = ["/abs", "../x.py", "link/", "utill.py", "a/util.py", "b/util.py", "json/", "good",
               "my-code/", "built/", "a/"]  # fmt: skip
    listed = "".join(f"      - {one}\n" for one in modules)
    found = problems(
        "layers:\n  a:\n    description: d\n    version: 1.0.0\n    runtimes: [python3.13]\n"
        f"    modules:\n{listed}"
    )
    said = (
        "'/abs' is not a path", "lies outside", "lies outside", "there is no file utill.py",
        "a/util.py and b/util.py are both the module util", "would hide the module json",
        "holds no Python module", "'my-code' is not the name of a module", "list it under `pack",
    )  # fmt: skip
    lines = [7, 8, 9, 10, 12, 13, 14, 15, 16]
    assert len(found) == len(said)
    for problem, line, part in zip(found, lines, said, strict=True):
        assert problem.startswith(f"layers.yaml:{line}:9: ")
        assert part in problem


FRAGMENTS = """\
defaults:
  runtimes: [python3.13]
  budgets: {growth: 5%}
fragments:
  small:
    extends: quick
    budgets: {zipped: 1MB}
    excludes: {a: not needed}
  quick:
    budgets: {cold-start: 1s, zipped: 9MB}
    excludes: {b: not needed}
    strip: maybe
layers:
  one:
    description: d
    version: 1.0.0
    requirements: [a]
    extends: small
    budgets: {zipped: 2MB}
"""


def test_a_layer_has_the_settings_of_its_fragments(load: Load, problems: Problems) -> None:
    loaded = load(FRAGMENTS.replace("maybe", "false"))
    one = loaded.config.layers["one"]
    assert (one.budgets.zipped, one.budgets.cold_start, one.budgets.growth) == (2_000_000, 1, 5)
    assert (one.excludes, one.strip) == ({"a": "not needed"}, False)
    assert loaded.position("layers", "one", "strip") == (12, 5)
    assert problems(FRAGMENTS) == [
        "layers.yaml:12:12: fragments.quick.strip: true or false is expected here"
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "extends: small",
            "extends: smal",
            "18:14: layers.one.extends: unknown fragment smal; did",
        ),
        ("extends: quick", "extends: none", "6:14: fragments.small.extends: unknown fragment none"),
        (
            "strip: maybe",
            "extends: small",
            "6:14: fragments.small.extends: small extends itself: small -> quick -> small",
        ),
        (
            "    extends: small",
            "    extends: one",
            "18:14: layers.one.extends: unknown fragment one",
        ),
        ("strip: maybe", "description: d", "12:5: fragments.quick.description: unknown key"),
    ],
)
def test_fragments_that_cannot_be_extended(
    problems: Problems, old: str, new: str, said: str
) -> None:
    assert problems(FRAGMENTS.replace(old, new).replace("maybe", "true"))[0].startswith(
        f"layers.yaml:{said}"
    )

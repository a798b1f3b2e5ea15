"""What is found in a repository, and what is said of what cannot be used."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from layersmith import __version__
from layersmith.adopt import detect, write
from layersmith.base import runtimes
from layersmith.config import loader
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from layersmith.adopt.models import FoundRepository

ROOT = Path(__file__).parents[3]
HEAD = "Transform: AWS::Serverless-2016-10-31\nResources:\n"
NEEDS = {"src/requirements.txt": "alpha\n"}


def function(name: str, **properties: str) -> str:
    said = {"CodeUri": "src", "Handler": "app.run", "Architectures": "[arm64]", **properties}
    inner = ", ".join(f"{key}: {value}" for key, value in said.items() if value)
    return f"  {name}: {{Type: AWS::Serverless::Function, Properties: {{{inner}}}}}\n"


def found(root: Path, **files: str) -> FoundRepository:
    texts = {"src/app.py": "def run(event, context): ...\n", "c.txt": "alpha<9\n", **files}
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return detect.detect(root)


def notices(repository: FoundRepository) -> str:
    return "\n".join(f"{one.file}: {one.text}" for one in repository.notices)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Resources: {\n  A: [\n", "template.yaml:3:1: template.yaml is not YAML"),
        ("a: \x00", "is not YAML"),
        (f"{HEAD}  A: [1]\n  B: {{Type: AWS::Serverless::Function, Properties: no}}\n", "B has no"),
        (HEAD + function("A", Runtime="nodejs22.x"), "A runs on nodejs22.x, which is not Python"),
        (HEAD + function("A", PackageType="Image"), "A is a container image"),
        (
            HEAD + function("A", Runtime="python3.8"),
            f"A: the runtime python3.8 is not supported; {runtimes.DEFAULT} is taken",
        ),
        (
            HEAD + function("A", Runtime="python3.13", Architectures=""),
            "no architecture is set for A, so AWS takes x86_64",
        ),
        (
            HEAD + function("A", Runtime="python3.13", Handler="app.walk"),
            "A: app.py does not define walk",
        ),
        (
            HEAD + function("A", Runtime="python3.13", Layers="[arn:aws:lambda:x]"),
            "A uses a layer from elsewhere",
        ),
        (
            HEAD + function("A", Runtime="python3.13", Architectures="[!If [X, arm64, x86_64]]"),
            "A has no Architectures that can be read here; x86_64 is taken",
        ),
        (
            HEAD + "  Fn::ForEach::Loop: [X, [E], {}]\n",
            "resources of Fn::ForEach::Loop are not followed; add its functions by hand",
        ),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, template: str, said: str) -> None:
    repository = found(tmp_path, **NEEDS, **{"template.yaml": template})
    assert said in notices(repository)
    write.write(write.files(repository, tmp_path), tmp_path)
    loader.load(tmp_path)


@pytest.mark.parametrize(
    "text", ["[1]", "Resources: [1]", "Globals: x\nResources: {A: x, B: {Type: [1]}}", "1", ""]
)
@pytest.mark.parametrize("name", ["template.yaml", "serverless.yml", "cloudformation.json"])
def test_a_template_of_another_form_has_no_functions(tmp_path: Path, name: str, text: str) -> None:
    assert not found(tmp_path, **{name: text}).functions


def test_serverless_files_of_another_form(tmp_path: Path) -> None:
    text = "provider: {name: google}\nfunctions: {a: {handler: src/app.run}}\n"
    assert "google" in notices(found(tmp_path, **{"serverless.yml": text}))
    text = 'provider: {runtime: python3.13}\nfunctions: ["${file(more.yml)}", {a: null}]\n'
    repository = found(tmp_path, **{"serverless.yml": text})
    assert "functions in ${file(more.yml)} are not followed" in notices(repository)


def test_a_module_of_serverless_python_requirements_has_its_own_layer(tmp_path: Path) -> None:
    text = (
        "provider: {runtime: python3.13, architecture: arm64}\npackage: {individually: true}\n"
        "functions: {a: {handler: app.run, module: src}, b: {handler: app.run, module: gone}}\n"
    )
    files = {"serverless.yml": text, "requirements.txt": "beta\n", **NEEDS}
    repository = found(tmp_path, **files)
    assert [(one.name, one.code, one.handler) for one in repository.functions] == [
        ("a", "src", "app.run"),
        ("b", None, "app.run"),
    ]
    assert {one.file: one.functions for one in repository.layers} == {
        "src/requirements.txt": ("a",),
        "requirements.txt": ("b",),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("setup.py", "setup(install_requires=['alpha'])\n"),
        ("svc/setup.cfg", "[options]\ninstall_requires = alpha\n"),
        ("environment.yml", "dependencies: [alpha]\n"),
        ("requirements/base.txt", "alpha\n"),
        ("requirements-prod.txt", "alpha\n"),
        ("requirements.in", "alpha\n"),
    ],
)
def test_what_asks_for_requirements_and_is_not_read_is_said(
    tmp_path: Path, name: str, text: str
) -> None:
    said = f"{name}: is not read: list what it asks for"
    assert said in notices(found(tmp_path, **{name: text}))
    beside = f"{'svc/' if name.startswith('svc/') else ''}requirements.txt"
    assert said not in notices(found(tmp_path, **{beside: "alpha\n"})), "the usual file is there"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("infra/main.tf", 'resource "aws_lambda_function" "a" {}\n'),
        ("main.tf", 'module "a" { source = "terraform-aws-modules/lambda/aws" }\n'),
        ("infra/cdk.json", '{"app": "python3 app.py"}\n'),
    ],
)
def test_functions_that_are_not_read_are_said(tmp_path: Path, name: str, text: str) -> None:
    """Their architecture is x86_64 where they set none, and that of the layers arm64."""
    said = f"{name}: its functions are not read: correct runtimes and architectures"
    assert said in notices(found(tmp_path, **{name: text, "requirements.txt": "alpha\n"}))
    assert not notices(found(tmp_path, **{name: "{}\n"}))


@pytest.mark.parametrize("name", ["setup.cfg", "setup.py", "tests/requirements-test.txt"])
def test_a_file_that_asks_for_nothing_is_not_named(tmp_path: Path, name: str) -> None:
    assert not found(tmp_path, **{name: "[flake8]\n"}).notices


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("pyproject.toml", "[project\n", "left out"),
        ("pyproject.toml", '[project]\nname = "a"\ndynamic = ["dependencies"]\n', "dynamic"),
        ("pyproject.toml", '[project]\nname = "a"\ndependencies = ["a b"]\n', "left out"),
        ("pyproject.toml", "tool = 1\n", "left out"),
        ("Pipfile", '[packages]\na = {path = "."}\nb = "*"\n', "a is not from an index"),
        ("requirements.txt", "alpha\n--find-links x\n", "line 2: the option --find-links"),
        ("requirements.txt", "alpha\n-r ../x\n", "txt: x lies outside the folder of layers.yaml"),
        ("requirements.txt", "alpha\na b\n", "is not a requirement (PEP 508): Expected"),
        ("requirements.txt", "alpha\n-i x\n-c c.txt\n", "txt: its constraints are left out: they"),
        ("requirements.txt", f"-i x\na==1 --hash=sha256:{'a' * 64}\n", "txt: its hashes are left"),
        ("Pipfile", '[[source]]\nname = "own"\n[packages]\na = "*"\n', "the index own is not used"),
        (
            "pyproject.toml",
            '[project]\nname = "a"\ndependencies = ["a"]\n[[tool.pdm.source]]\nname = "own"\n',
            "the index own is not used here; it belongs in uv's configuration",
        ),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\na = "*"\n[[tool.poetry.source]]\nname = "own"\n',
            "the index own is not used here; it belongs in uv's configuration",
        ),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\na = "*"\nb = "^1 || ^3"\n',
            "b ^1 || ^3 is not a requirement (PEP 508): left out, add it by hand",
        ),
    ],
)
def test_requirements_that_cannot_be_used_are_said(
    tmp_path: Path, file: str, text: str, said: str
) -> None:
    repository = found(tmp_path, **{file: text})
    assert f"{file}: " in notices(repository)
    assert said in notices(repository)
    assert "None" not in notices(repository)
    write.write(write.files(repository, tmp_path), tmp_path)
    loader.load(tmp_path)


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("^1.2.3", "alpha<2,>=1.2.3"),
        ("^0.2.3", "alpha<0.3,>=0.2.3"),
        ("^0.0", "alpha<0.1,>=0.0"),
        ("~1.2.3", "alpha<1.3,>=1.2.3"),
        ("~1", "alpha<2,>=1"),
        ("~=1.4", "alpha~=1.4"),
        ("1.2", "alpha==1.2"),
        ("1.*", "alpha==1.*"),
        ("*", "alpha"),
        (">=1,<2", "alpha<2,>=1"),
        (">=1 <2", "alpha<2,>=1"),
        ("^2.0.0b3", "alpha<3,>=2.0.0b3"),
        ("~1.4-alpha.1", "alpha<1.5,>=1.4-alpha.1"),
    ],
)
def test_poetrys_versions(tmp_path: Path, written: str, means: str) -> None:
    text = f'[tool.poetry]\nname = "a"\n[tool.poetry.dependencies]\nalpha = "{written}"\n'
    (layer,) = found(tmp_path, **{"pyproject.toml": text}).layers
    assert layer.requirements == (means,)


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ('{version = "*", python = "<3.12"}', ['alpha; python_version < "3.12"']),
        (
            '{version = "1", python = "^3.12"}',
            ['alpha==1; python_version >= "3.12" and python_version < "4"'],
        ),
        (
            '{version = "*", python = "<3.11 || >=3.13.1"}',
            ['alpha; (python_version < "3.11") or (python_full_version >= "3.13.1")'],
        ),
        ('{version = "*", platform = "darwin"}', ['alpha; sys_platform == "darwin"']),
        (
            '{version = "*", python = ">=3.12", markers = "os_name == \'nt\' or extra == \'a\'"}',
            ['alpha; (os_name == "nt" or extra == "a") and python_version >= "3.12"'],
        ),
        (
            '[{version = "<2", python = "<3.12"}, {version = ">=2", python = ">=3.12"}]',
            ['alpha<2; python_version < "3.12"', 'alpha>=2; python_version >= "3.12"'],
        ),
    ],
)
def test_where_poetry_wants_something(tmp_path: Path, written: str, means: list[str]) -> None:
    text = f'[tool.poetry.dependencies]\npython = "^3.12 || 3.10"\nbeta = "*"\nalpha = {written}\n'
    (layer,) = found(tmp_path, **{"pyproject.toml": text}).layers
    assert [str(Requirement(line)) for line in means] == [*(layer.requirements or ())][1:]


def test_what_pipenv_wants_by_markers_and_python(tmp_path: Path) -> None:
    text = (
        '[[source]]\nname = "pypi"\n[requires]\npython_version = "3.12"\n'
        "[packages]\nalpha = {version = '*', sys_platform = \"== 'darwin'\"}\nbeta = '*'\n"
    )
    repository = found(tmp_path, Pipfile=text)
    (layer,) = repository.layers
    assert layer.requirements == ('alpha; sys_platform == "darwin"', "beta")
    assert (layer.runtimes, layer.asked) == (("python3.12",), ("beta",))
    assert not repository.notices


def test_a_project_is_named_and_not_copied(tmp_path: Path) -> None:
    text = '[project]\nname = "The_Shop"\nrequires-python = ">=3.14"\ndependencies = ["alpha"]\n'
    (layer,) = found(tmp_path, **{"pyproject.toml": text, "uv.lock": ""}).layers
    assert (layer.name, layer.file, layer.requirements) == ("the-shop", "pyproject.toml", None)
    assert layer.runtimes == ("python3.14",), "the default runtime is not supported"
    assert layer.constraints == "uv.lock"


def test_what_the_runtime_brings_in_another_version_is_kept(tmp_path: Path) -> None:
    (layer,) = found(tmp_path, **{"requirements.txt": "boto3==1.26.0\nurllib3<9\n"}).layers
    assert layer.keep_provided == ("boto3",)


def test_markers_are_judged_for_the_functions_that_use_a_layer(tmp_path: Path) -> None:
    """On python3.12 the runtime does not bring all of it, and a smoke file looks for no more."""
    template = HEAD + "".join(
        function(name, CodeUri=name.lower(), Runtime="python3.12", Architectures=f"[{machine}]")
        for name, machine in (("Abc", "arm64"), ("Def", "x86_64"))
    )
    lines = 'boto3\nalpha; python_version < "3.13"\nbeta; platform_machine == "aarch64"\n'
    files = {f"{name}/requirements.txt": lines for name in ("abc", "def")}
    files |= {f"{name}/app.py": "def run(e, c): ...\n" for name in ("abc", "def")}
    (layer,) = found(tmp_path, **{"template.yaml": template, **files}).layers
    assert layer.functions == ("abc", "def")
    assert layer.asked == ("alpha", "boto3")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('boto3\nalpha; python_version < "3.13"\n', "the runtime brings boto3: it needs no layer"),
        ('alpha; python_version < "3.13"\n', "nothing is asked for on python3.13: it needs no"),
    ],
)
def test_what_markers_leave_out_needs_no_layer(tmp_path: Path, lines: str, said: str) -> None:
    template = HEAD + function("A", Runtime="python3.13")
    repository = found(tmp_path, **{"template.yaml": template, "src/requirements.txt": lines})
    assert not repository.layers
    assert f"src/requirements.txt: {said}" in notices(repository)


def test_a_smoke_file_imports_what_is_there_and_not_what_is_only_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """top_level.txt of pyarrow, bleach and pynacl names modules that their wheels do not hold."""
    repository = found(tmp_path, **NEEDS)
    (smoke,) = (one for one in write.files(repository, tmp_path) if "smoke" in one.path)
    info = tmp_path / "site/alpha-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: alpha\nVersion: 1\n")
    (info / "top_level.txt").write_text("__alpha_dummy__\nalpha_of_tests\n")
    module = info.with_name("alpha_of_tests.py")
    module.write_text("LOADED = True\n")
    monkeypatch.setattr(sys, "path", [str(module.parent)])
    defined: dict[str, Any] = {}
    exec(smoke.content, defined)
    defined["test_it_can_be_imported"]("alpha")
    assert sys.modules.pop("alpha_of_tests").LOADED
    module.write_text("import absent_of_alpha\n")
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError, match="absent_of_alpha"):
        defined["test_it_can_be_imported"]("alpha")


def test_functions_that_ask_for_the_same_share_a_layer(tmp_path: Path) -> None:
    template = HEAD + "".join(
        function(name, CodeUri=name.lower(), Runtime=runtime)
        for name, runtime in (("Abc", "python3.12"), ("Def", "python3.13"))
    )
    mine = {"app.py": "def run(e, c): ...\n", "requirements.txt": "alpha\n"}
    files = {f"{name}/{file}": text for name in ("abc", "def") for file, text in mine.items()}
    (layer,) = found(tmp_path, **{"template.yaml": template, **files}).layers
    assert (layer.name, layer.functions) == ("abc", ("abc", "def"))
    assert layer.runtimes == ("python3.12", "python3.13")


def test_more_packages_than_a_function_can_have_layers(tmp_path: Path) -> None:
    names = [f"part{number}" for number in range(runtimes.LAYERS_PER_FUNCTION)]
    package = '[project]\nname = "{}"\nversion = "1"\n[build-system]\nrequires = []\n'
    files = {f"libs/{name}/pyproject.toml": package.format(name) for name in names}
    code = "".join(f"import {name}\n" for name in names) + "def run(event, context): ...\n"
    template = HEAD + function("A", Runtime="python3.13")
    files |= {"src/app.py": code, "template.yaml": template, **NEEDS}
    repository = found(tmp_path, **files)
    own, shared = repository.layers
    assert (own.name, shared.name) == ("src", "shared")
    assert shared.packages == tuple(f"libs/{name}" for name in names)
    write.write(write.files(repository, tmp_path), tmp_path)
    assert loader.load(tmp_path).config.functions["a"].layers == ["src", "shared"]


def test_json_with_tabs_and_what_sam_packaged(tmp_path: Path) -> None:
    said = {"CodeUri": "src", "Handler": "app.run", "Runtime": "python3.13"}
    document = {"Resources": {"A": {"Type": "AWS::Serverless::Function", "Properties": said}}}
    text = json.dumps(document, indent="\t")
    files = {"template.json": text, "packaged-template.json": text, **NEEDS}
    (function,) = found(tmp_path, **files).functions
    assert (function.file, function.code, function.handler) == ("template.json", "src", "app.run")


def test_long_names_stay_names(tmp_path: Path) -> None:
    names = ["A" + "b" * 80, "A" + "b" * 90]
    template = HEAD + "".join(function(name, Runtime="python3.13") for name in names)
    repository = found(tmp_path, **{"template.yaml": template, **NEEDS})
    write.write(write.files(repository, tmp_path), tmp_path)
    assert len(loader.load(tmp_path).config.functions) == 2


def test_globals_hold_for_functions_of_sam(tmp_path: Path) -> None:
    globals_ = "Globals: {Function: {Runtime: python3.13, Timeout: 9, Architectures: [arm64]}}\n"
    own = "Type: AWS::Lambda::Function, Properties: {Code: src, Handler: app.run}"
    template = f"{globals_}{HEAD}  Own: {{{own}}}\n" + function("Sam", Architectures="")
    repository = found(tmp_path, **{"template.yaml": template, **NEEDS})
    said = {one.name: (one.architecture, one.timeout) for one in repository.functions}
    assert said == {"own": ("x86_64", None), "sam": ("arm64", 9)}
    assert "Own has no Runtime that can be read here" in notices(repository)
    assert "no architecture is set for Own, so" in notices(repository)


def test_a_layer_of_the_template_becomes_one_here(tmp_path: Path) -> None:
    template = (
        HEAD
        + "  Deps: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layers/deps}}\n"
        + function("A", Runtime="python3.13", Layers="[!Ref Deps]")
    )
    files = {"template.yaml": template, "layers/deps/requirements.txt": "beta\n"}
    (layer,) = found(tmp_path, **files).layers
    assert (layer.name, layer.functions) == ("deps", ("a",))


def test_the_workflow_calls_one_that_exists(tmp_path: Path) -> None:
    (workflow,) = (one for one in write.files(found(tmp_path), tmp_path) if ".github" in one.path)
    example = ROOT / "docs/examples/github/layers.yml"
    assert workflow.content == example.read_text("utf-8").replace("v1", f"v{__version__}")
    called = yaml.safe_load(workflow.content)["jobs"]["layers"]["uses"]
    path = called.partition("/layersmith/")[2].partition("@")[0]
    # YAML 1.1 reads the key `on` as true.
    assert "workflow_call" in yaml.safe_load((ROOT / path).read_text("utf-8"))[True]

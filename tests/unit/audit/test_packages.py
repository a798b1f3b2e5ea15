import pytest
from layersmith.audit.findings import Severity

from tests.unit.audit.layers import EXTENSION, RECORD, judge, layer, only

INIT = "python/fast/__init__.py"
RECORD_PATH = "python/fast-1.0.dist-info/RECORD"


def test_a_deleted_extension_module() -> None:
    finding = only(judge(layer(**{EXTENSION: None})))
    assert (finding.code, finding.path) == ("FILE-MISSING", EXTENSION)
    assert "cannot import name '_fast' from 'fast'" in finding.what


def test_a_deleted_module() -> None:
    assert only(judge(layer(**{INIT: None}))).path == INIT


def test_what_was_pruned_on_purpose_is_no_error() -> None:
    report = judge(layer(**{INIT: None}), removed={INIT: "docs"})
    assert report.findings == []


def test_a_pruned_extension_module_is_a_warning() -> None:
    finding = only(judge(layer(**{EXTENSION: None}), removed={EXTENSION: "add"}))
    assert (finding.code, finding.severity) == ("FILE-PRUNED", Severity.WARNING)


def test_the_tests_of_a_distribution_may_be_pruned_without_a_word() -> None:
    path = "python/fast/tests/_test.cpython-313-aarch64-linux-gnu.so"
    record = f"{RECORD}{path.removeprefix('python/')},,\n".encode()
    assert judge(layer(**{RECORD_PATH: record}), removed={path: "tests"}).findings == []


def test_what_a_wheel_lists_counts_where_its_record_was_corrected() -> None:
    """The build corrects RECORD before the audit: a file that was lost is no longer in it."""
    corrected = "\n".join(line for line in RECORD.splitlines() if ".so" not in line)
    files = layer(**{EXTENSION: None, RECORD_PATH: corrected.encode()})
    assert judge(files).findings == []
    listed = {"fast": [line.split(",")[0] for line in RECORD.splitlines()]}
    assert only(judge(files, recorded=listed)).code == "FILE-MISSING"


@pytest.mark.parametrize(
    "row",
    ["../../../bin/fast,,", "fast-1.0.data/scripts/fast,,", "fast/py.typed,,", "fast/x.pyc,,"],
)
def test_rows_that_no_import_needs(row: str) -> None:
    assert judge(layer(**{RECORD_PATH: f"{RECORD}{row}\n".encode()})).findings == []


def test_an_absolute_path_has_no_owner() -> None:
    assert "" not in {one.distribution for one in judge(layer(**{"/python/x.so": b""})).findings}


def test_requirements_are_importable() -> None:
    assert judge(layer(), requirements=["fast"]).findings == []
    finding = only(judge(layer(), requirements=["fast", "slow"]))
    assert (finding.code, finding.distribution) == ("IMPORT-MISSING", "slow")


def test_modules_that_another_distribution_brings_are_importable() -> None:
    record = b"fast/__init__.py,,\nmeta-1.0.dist-info/METADATA,,\n"
    files = layer(
        **{
            "python/meta-1.0.dist-info/METADATA": b"Name: meta\n",
            "python/meta-1.0.dist-info/RECORD": record,
        }
    )
    assert judge(files, requirements=["meta", "fast"]).findings == []


def test_a_distribution_that_another_one_vendors_is_itself() -> None:
    """setuptools/_vendor holds an older platformdirs, with its .dist-info."""
    inner = "python/vendors/_vendor/fast"
    files = layer(
        **{
            f"{inner}/__init__.py": b"",
            f"{inner}-0.9.dist-info/METADATA": b"Name: fast\nVersion: 0.9\n",
            f"{inner}-0.9.dist-info/RECORD": b"fast/__init__.py,,\n",
        }
    )
    listed = {"fast": [line.split(",")[0] for line in RECORD.splitlines()]}
    assert judge(files, requirements=["fast"], recorded=listed).findings == []


def test_a_requirement_in_the_wrong_place_has_one_cause() -> None:
    deep = "python/lib/python3.13/site-packages/"
    files = {path.replace("python/", deep, 1): data for path, data in layer().items()}
    codes = {one.code for one in judge(files, requirements=["fast"]).errors}
    assert codes == {"LAYOUT-DEPTH"}


def test_a_requirement_whose_files_are_gone() -> None:
    files = {path: content for path, content in layer().items() if "/fast/" not in path}
    codes = {one.code for one in judge(files, requirements=["fast"]).errors}
    assert codes == {"IMPORT-MISSING", "FILE-MISSING"}


@pytest.mark.parametrize("listed", [b"meta-stubs\n", b"meta-stubs\ndist\n"])
def test_stubs_for_type_checkers_need_not_be_importable(listed: bytes) -> None:
    """The build prunes what types-requests holds; top_level.txt of boto3-stubs names more."""
    files = layer(
        **{
            "python/meta-1.0.dist-info/METADATA": b"Name: meta\n",
            "python/meta-1.0.dist-info/top_level.txt": listed,
            "python/meta-1.0.dist-info/RECORD": b"meta-stubs/__init__.pyi,,\n",
        }
    )
    pruned = {"python/meta-stubs/__init__.pyi": "*.pyi"}
    assert judge(files, requirements=["meta"], removed=pruned).findings == []


def test_a_distribution_without_modules_only_pulls_others_in() -> None:
    files = layer(
        **{
            "python/meta-1.0.dist-info/METADATA": b"Name: meta\n",
            "python/meta-1.0.dist-info/RECORD": b"meta-1.0.dist-info/METADATA,,\n",
        }
    )
    assert judge(files, requirements=["meta"]).findings == []


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("python/PIL/__init__.py", "PIL"),
        ("python/six.py", "six"),
        ("python/pkg/test/__init__.py", "pkg.test"),
        ("python/onnx.cpython-313-aarch64-linux-gnu.so", "onnx"),
        ("python/pkg/hidden.pyc", "pkg.hidden"),
    ],
)
def test_forbidden_modules(path: str, module: str) -> None:
    codes = [one.code for one in judge(layer(**{path: b""}), forbidden=[module]).errors]
    assert "IMPORT-FORBIDDEN" in codes


@pytest.mark.parametrize(
    "path", ["python/PILLOW/__init__.py", "python/PIL-1.dist-info/x", "python/PIL.txt"]
)
def test_names_that_only_look_forbidden(path: str) -> None:
    assert judge(layer(**{path: b""}), forbidden=["PIL"]).findings == []


def test_modules_that_hide_the_runtimes_own() -> None:
    files = layer(**{"python/urllib3/__init__.py": b"", "python/dateutil/__init__.py": b""})
    found = judge(files).findings
    assert [(one.code, one.severity) for one in found] == 2 * [("SHADOW-RUNTIME", Severity.WARNING)]
    assert only(judge(files, kept=["urllib3"])).path == "python/dateutil/__init__.py"


def test_modules_that_hide_the_standard_library() -> None:
    assert only(judge(layer(**{"python/typing.py": b""}))).code == "SHADOW-STDLIB"


def test_a_backport_of_what_python_dropped_hides_nothing() -> None:
    files = layer(**{"python/cgi.py": b""})
    assert judge(files).findings == []
    assert "SHADOW-STDLIB" in {one.code for one in judge(files, runtime="python3.12").warnings}


@pytest.mark.parametrize(
    "name",
    [
        "AWSSDKPandas-Python313-Arm64",
        "arn:aws:lambda:eu-west-1:336392948345:layer:AWSSDKPandas-Python313-Arm64:5",
    ],
)
def test_a_managed_layer_with_the_same_distribution(name: str) -> None:
    files = layer(
        **{
            "python/numpy/__init__.py": b"",
            "python/numpy-2.3.5.dist-info/METADATA": b"Name: numpy\n",
        }
    )
    finding = only(judge(files, managed={name: {"numpy": "2.5"}, "SomethingElse": {}}))
    assert (finding.code, finding.distribution) == ("MANAGED-CONFLICT", "numpy")
    assert finding.severity is Severity.WARNING

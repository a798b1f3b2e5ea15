"""Every reason why a layer is not proven becomes one text."""

from __future__ import annotations

from layersmith.prove.models import (
    Cause,
    FailedImport,
    ForbiddenProof,
    ImportFailure,
    ImportsProof,
    SmokeFileProof,
    TestOutcome,
)
from layersmith.prove.smoke import layer

CLEAN = ImportsProof(modules=3, failed=[], excepted={}, unneeded=[], slowest_ms={})


def smoke(*tests: TestOutcome) -> SmokeFileProof:
    return SmokeFileProof(file="x.py", services=[], init_ms=1, tests=list(tests), peak_memory=None)


def outcome(result: str, phase: str = "call", text: str = "") -> TestOutcome:
    return TestOutcome(name="test_it", outcome=result, phase=phase, ms=1, text=text)


def test_nothing_found_is_proven() -> None:
    assert layer.problems(CLEAN, None, smoke(outcome("passed"))) == []


def test_an_import_names_its_cause_and_what_it_drags_along() -> None:
    failed = FailedImport(
        module="PIL.Image",
        path="python/PIL/Image.py",
        failure=ImportFailure(chain=[Cause(type="ImportError", message="no _imaging")]),
        diagnosis="wrong architecture",
        hidden=[f"PIL.m{n}" for n in range(7)],
    )
    (text,) = layer.problems(CLEAN.model_copy(update={"failed": [failed]}), None, None)
    assert "import PIL.Image fails: ImportError: no _imaging" in text
    assert "so do 7 others" in text
    assert "PIL.m4, ..." in text
    assert "likely cause: wrong architecture" in text


def test_forbidden_modules_in_the_layer_and_in_memory() -> None:
    proof = ForbiddenProof(
        patterns=["PIL"], present=["PIL"], loaded=["PIL", "PIL.Image"], after="smoke file"
    )
    present, loaded = layer.problems(CLEAN, proof, None)
    assert "in the layer: PIL" in present
    assert "loaded after the smoke file: PIL, PIL.Image" in loaded


def test_failed_tests_show_their_text() -> None:
    (text,) = layer.problems(CLEAN, None, smoke(outcome("failed", "setup", "E  assert 1 == 2")))
    assert "test_it failed in setup" in text
    assert "    E  assert 1 == 2" in text


def test_a_file_that_skips_everything_proves_nothing() -> None:
    assert "every test was skipped" in layer.problems(CLEAN, None, smoke(outcome("skipped")))[0]


def test_one_skip_among_passes_is_fine() -> None:
    assert layer.problems(CLEAN, None, smoke(outcome("skipped"), outcome("passed"))) == []


def test_a_layer_without_modules_proves_nothing_by_itself() -> None:
    empty = CLEAN.model_copy(update={"modules": 0})
    assert "nothing is proven" in layer.problems(empty, None, None)[0]
    assert layer.problems(empty, None, smoke(outcome("passed"))) == []

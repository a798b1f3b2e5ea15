"""Sums, verdicts and advice for targets whose listings are known."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from layersmith.base import runtimes
from layersmith.weigh import advice, verdict
from layersmith.weigh.listings import Listed
from packaging.utils import canonicalize_name

from .scales import MB, Scales

if TYPE_CHECKING:
    from pathlib import Path

    from layersmith.weigh.models import Advice, AdviceKind
    from layersmith.weigh.target import Weighed


@pytest.fixture
def scales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scales:
    return Scales(tmp_path, monkeypatch)


def given(weighed: Weighed, kind: AdviceKind) -> dict[str, Advice]:
    return {one.subject: one for one in advice.advise(weighed) if one.kind == kind}


def test_sums_shares_and_chains(scales: Scales) -> None:
    scales.add("app", {"app/__init__.py": 1000, "app/tests/test_it.py": 500}, "engine")
    scales.add("engine", {"engine/_fast.cpython-313-aarch64-linux-gnu.so": 9000, "engine/e.py": 10})
    weighed = scales.weigh("app")
    engine, app = weighed.distributions
    assert (engine.name, engine.native, engine.python) == ("engine", 9000, 10)
    assert engine.chain == ["app", "engine"]
    assert app.retained == app.unzipped + engine.unzipped
    assert engine.biggest[0].path.endswith(".so")
    assert weighed.installed.unzipped == app.unzipped + engine.unzipped
    assert weighed.layer.unzipped == weighed.installed.unzipped - 500, "tests are pruned"
    assert weighed.traffic.requests == 0


def test_markers_are_judged_for_the_target(scales: Scales) -> None:
    scales.add(
        "app",
        {"app.py": 10},
        'arm; platform_machine == "aarch64"',
        'win; sys_platform == "win32"',
        'old; python_version < "3.12"',
    )
    scales.add("arm", {"arm.py": 10})
    assert scales.weigh("app").graph.edges["app"] == ["arm"]


def test_what_the_runtime_provides_is_not_counted(scales: Scales) -> None:
    scales.add("app", {"app.py": MB}, "boto3")
    scales.add("boto3", {"boto3/client.py": 30 * MB})
    weighed = scales.weigh("app")
    assert weighed.layer.unzipped < 2 * MB
    assert given(weighed, "provided")["boto3"].done
    kept = scales.weigh("app", keep_provided=["boto3"])
    assert kept.layer.unzipped > 30 * MB
    assert not given(kept, "provided")


def test_excludes_of_the_layer_count(scales: Scales) -> None:
    scales.add("app", {"app.py": MB}, "big")
    scales.add("big", {"big.so": 300 * MB})
    weighed = scales.weigh("app", excludes={"big": "not needed"})
    report = verdict.report(weighed)
    assert report.verdict.word == "fits"
    assert report.dropped == {"big": "not needed"}


def test_it_fits_up_to_the_last_byte(scales: Scales) -> None:
    scales.add("app", {"app.bin": runtimes.UNZIPPED_LIMIT - 100})
    metadata = scales.weigh("app").installed.unzipped - (runtimes.UNZIPPED_LIMIT - 100)
    scales.files.clear()
    scales.add("app", {"app.bin": runtimes.UNZIPPED_LIMIT - metadata})
    judged = verdict.report(scales.weigh("app")).verdict
    assert judged.word == "fits"
    assert judged.limits[0].margin == 0
    scales.files.clear()
    scales.add("app", {"app.bin": runtimes.UNZIPPED_LIMIT - metadata + 1})
    assert verdict.report(scales.weigh("app")).verdict.word == "does not fit"


def test_bytecode_counts_where_a_build_would_make_it(scales: Scales) -> None:
    scales.add("app", {"app.py": 150 * MB})
    with_bytecode = verdict.report(scales.weigh("app"))
    without = verdict.report(scales.weigh("app", bytecode="none"))
    assert with_bytecode.verdict.word == "does not fit"
    assert with_bytecode.bytecode == pytest.approx(1.05 * 150 * MB)
    assert without.verdict.word == "fits"
    assert without.bytecode == 0


def chroma(scales: Scales, kubernetes: int, rest: int) -> Weighed:
    scales.add("chromadb", {"chromadb/rust.so": rest}, "kubernetes", "numpy")
    scales.add("kubernetes", {"kubernetes/client.so": kubernetes}, "oauthlib", "numpy")
    scales.add("oauthlib", {"oauthlib/o.so": 10 * MB})
    scales.add("numpy", {"numpy/core.so": 20 * MB, "numpy.libs/libscipy_openblas64_.so": 25 * MB})
    return scales.weigh("chromadb")


def test_fits_with_excludes_names_them(scales: Scales) -> None:
    report = verdict.report(chroma(scales, kubernetes=100 * MB, rest=150 * MB))
    assert report.verdict.word == "fits with excludes"
    assert report.verdict.excludes == ["kubernetes"]
    assert report.verdict.slimmed is not None
    assert 195 * MB < report.verdict.slimmed < 196 * MB
    (exclude,) = [one for one in report.advice if one.kind == "optional"]
    assert exclude.removes == ["kubernetes", "oauthlib"]
    assert 110 * MB <= exclude.unzipped < 111 * MB


def test_it_does_not_fit_even_with_excludes(scales: Scales) -> None:
    report = verdict.report(chroma(scales, kubernetes=50 * MB, rest=250 * MB))
    assert report.verdict.word == "does not fit"
    assert "still" in report.verdict.text
    assert report.advice[-1].kind == "elsewhere"
    assert "Fargate" in report.advice[-1].text


def test_an_optional_part_that_was_asked_for_stays(scales: Scales) -> None:
    scales.add("chromadb", {"chromadb/rust.so": 250 * MB}, "kubernetes")
    scales.add("kubernetes", {"kubernetes/client.so": 50 * MB})
    weighed = scales.weigh("chromadb", "kubernetes")
    assert not given(weighed, "optional")


def test_a_lighter_distribution(scales: Scales) -> None:
    found = given(chroma(scales, 100 * MB, 150 * MB), "lighter")["chromadb"]
    assert found.estimate
    assert 200 * MB < found.unzipped < 220 * MB
    assert "chromadb-client" in found.text


def test_what_is_there_anyway_costs_nothing_more(scales: Scales) -> None:
    scales.add(
        "psycopg", {"psycopg/p.py": MB}, 'psycopg-binary; extra == "binary"', extras="binary"
    )
    scales.add("psycopg-binary", {"psycopg_binary/b.so": 12 * MB})
    weighed = scales.weigh("psycopg[binary]")
    binary = next(one for one in weighed.distributions if one.name == "psycopg-binary")
    assert given(weighed, "lighter")["psycopg-binary"].unzipped == binary.unzipped
    extra = given(weighed, "extra")["psycopg[binary]"]
    assert extra.text.startswith("drop the extra")
    assert extra.unzipped == binary.unzipped


def test_an_extra_that_a_dependency_asks_for(scales: Scales) -> None:
    scales.add("app", {"app.py": 10}, "server[fast]")
    scales.add("server", {"server.py": 10}, 'loop; extra == "fast"', "h11", extras="fast")
    scales.add("loop", {"loop.so": MB})
    scales.add("h11", {"h11.py": MB})
    found = given(scales.weigh("app"), "extra")
    assert list(found) == ["server[fast]"]
    assert found["server[fast]"].removes == ["loop"]
    assert "app asks for it: exclude loop" in found["server[fast]"].text


def test_an_extra_that_layers_yaml_asks_for_is_never_excluded(scales: Scales) -> None:
    scales.add("app", {"app.py": 10}, "server[fast]")
    scales.add("server", {"server.py": 10}, 'loop; extra == "fast"', extras="fast")
    scales.add("loop", {"loop.so": MB})
    found = given(scales.weigh("app", "server[fast]"), "extra")
    assert found["server[fast]"].text.startswith("drop the extra")


def test_a_managed_layer_still_counts(scales: Scales) -> None:
    scales.add("pandas", {"pandas/p.so": 50 * MB}, "numpy")
    scales.add("numpy", {"numpy/core.so": 20 * MB})
    found = given(scales.weigh("pandas"), "managed layer")["AWSSDKPandas"]
    assert 70 * MB <= found.unzipped < 71 * MB
    assert "counts against the limit" in found.text


def test_numpy_alone_is_no_reason_for_a_managed_layer(scales: Scales) -> None:
    scales.add("numpy", {"numpy/core.so": 20 * MB})
    assert not given(scales.weigh("numpy"), "managed layer")


def test_lite_blas_is_advice_and_then_done(scales: Scales) -> None:
    scales.add("numpy", {"numpy/core.so": 20 * MB, "numpy.libs/libscipy_openblas64_.so": 25 * MB})
    before = given(scales.weigh("numpy"), "lite-blas")["numpy"]
    assert before.unzipped == 25 * MB - advice.LITE_BLAS
    assert not before.done
    weighed = scales.weigh("numpy", lite_blas=True)
    assert given(weighed, "lite-blas")["numpy"].done
    assert verdict.report(weighed).verdict.limits[0].value < 22 * MB


def test_files_for_other_systems(scales: Scales) -> None:
    scales.add("tool", {"tool/t.py": 10, "tool/helper.dylib": MB, "tool/x.DLL": MB})
    found = given(scales.weigh("tool"), "platform")["tool"]
    assert found.unzipped == 2 * MB
    assert "*.dylib" in found.text


def test_budgets_are_judged(scales: Scales) -> None:
    scales.add("app", {"app.bin": 30 * MB})
    report = verdict.report(scales.weigh("app", budgets={"unzipped": 20 * MB}))
    found = {limit.name: limit for limit in report.verdict.limits}
    assert found["budgets.unzipped"].margin < 0
    assert report.verdict.word == "fits", "a budget is the layer's own; Lambda takes it"


def test_a_listed_file_has_no_content() -> None:
    with pytest.raises(Exception, match="listed and not read"):
        Listed(1, 1).read()


@pytest.mark.parametrize("table", ["lighter", "optional"])
def test_the_data_are_dated_and_sourced(table: str) -> None:
    for row in advice.known()[table]:
        assert row["source"]
        assert date(2026, 1, 1) <= date.fromisoformat(row["date"]) <= date(2030, 1, 1)
        names = [row["name"], row.get("instead", "x"), row.get("by", "x")]
        assert all(name == canonicalize_name(name) for name in names)
        assert row.get("unzipped", 1) > 0


def test_recipes_apply_and_what_all_of_them_save_is_said(scales: Scales) -> None:
    # joblib's recipe leaves out joblib/test/ where layers.yaml takes it.
    scales.add("joblib", {"joblib/__init__.py": 10, "joblib/test/data.bin": MB})
    weighed = scales.weigh("joblib", prune={"defaults": False})
    (advice_given,) = given(weighed, "recipes").values()
    assert (advice_given.subject, advice_given.unzipped) == ("joblib", MB)
    found = verdict.report(weighed)
    assert found.with_recipes is not None
    assert found.with_recipes.unzipped == found.layer.unzipped - MB
    taken = scales.weigh("joblib", prune={"defaults": False}, recipes=["joblib"])
    assert taken.layer.unzipped == found.with_recipes.unzipped
    assert verdict.report(taken).with_recipes is None


def test_bytecode_without_docstrings_is_smaller(scales: Scales) -> None:
    scales.add("app", {"app.py": MB})
    plain, asserts, docstrings = (
        verdict.report(scales.weigh("app", optimize=level)) for level in range(3)
    )
    assert docstrings.bytecode == pytest.approx(0.85 * plain.bytecode)
    assert asserts.bytecode == plain.bytecode
    totals = [one.verdict.limits[0].value for one in (plain, docstrings)]
    assert totals[0] - totals[1] == plain.bytecode - docstrings.bytecode


def test_bytecode_in_place_of_sources(scales: Scales) -> None:
    scales.add("app", {"app.py": MB})
    both, only = (
        verdict.report(scales.weigh("app", bytecode=mode)).verdict
        for mode in ("unchecked-hash", "only")
    )
    assert both.limits[0].value - only.limits[0].value == MB
    assert "with bytecode instead of sources" in only.text


def test_bytecode_in_place_of_the_sources_of_one_recipe(scales: Scales) -> None:
    scales.add("pymysql", {"pymysql/__init__.py": MB})
    plain = verdict.report(scales.weigh("pymysql"))
    thin = verdict.report(scales.weigh("pymysql", recipes="all"))
    # The recipe leaves out docstrings, too.
    assert thin.bytecode == pytest.approx(0.85 * plain.bytecode - MB)

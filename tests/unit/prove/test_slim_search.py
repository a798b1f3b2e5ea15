"""The search for what the proofs do without, against proofs that are functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml
from hypothesis import given
from hypothesis import strategies as st
from layersmith.prove.slim.models import Candidate
from layersmith.prove.slim.propose import fragment
from layersmith.prove.slim.search import Search, TrialVerdict, named_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def candidate(name: str, kind: str = "prune") -> Candidate:
    pattern = name if kind == "exclude" else f"{name}.py"
    return Candidate.model_validate(
        {
            "kind": kind,
            "pattern": pattern,
            "distribution": name,
            "risk": "unnamed",
            "units": [f"{name}.py"],
            "files": 1,
            "zipped": 1500,
            "unzipped": 4000,
        }
    )


def needing(
    needed: set[str], say: Callable[[str], str]
) -> Callable[[Sequence[Candidate]], TrialVerdict]:
    """Return proofs that fail without what is needed."""

    def prove(without: Sequence[Candidate]) -> TrialVerdict:
        lacking = sorted({one.distribution for one in without} & needed)
        return TrialVerdict(texts=tuple(map(say, lacking[:1])))

    return prove


def test_everything_goes_in_one_trial() -> None:
    search = Search(needing(set(), str))
    assert len(search.run([candidate("a"), candidate("b")])) == 2
    assert search.trials == 1


def test_what_a_failure_names_is_put_back() -> None:
    search = Search(needing({"b"}, lambda name: f"ModuleNotFoundError: No module named '{name}'"))
    found = search.run([candidate(name) for name in "abcd"])
    assert [one.distribution for one in found] == ["a", "c", "d"]
    assert search.trials == 2
    [rejected] = search.rejected
    assert (rejected.pattern, rejected.why) == (
        "b.py",
        "ModuleNotFoundError: No module named 'b'",
    )


@given(
    needed=st.sets(st.sampled_from("abcdefghij")),
    offered=st.lists(st.sampled_from("abcdefghijklmnop"), unique=True),
)
def test_halves_find_all_culprits_that_nothing_names(needed: set[str], offered: list[str]) -> None:
    search = Search(needing(needed, lambda _: "assert 1 == 2"), limit=1000)
    found = search.run([candidate(name) for name in offered])
    assert [one.distribution for one in found] == [name for name in offered if name not in needed]
    assert {one.pattern for one in search.rejected} == {f"{n}.py" for n in needed & set(offered)}


def test_what_would_break_is_taken_along() -> None:
    """A module too small for a line of its own, that imports what goes."""

    def prove(without: Sequence[Candidate]) -> TrialVerdict:
        gone = {one.distribution for one in without}
        if "large" in gone and "small" not in gone:
            return TrialVerdict(broken=(("small", "ModuleNotFoundError: No module named 'large'"),))
        return TrialVerdict()

    search = Search(prove, spare=[candidate("small")])
    found = search.run([candidate("large")])
    assert {one.distribution for one in found} == {"large", "small"}
    assert search.rejected == []


def test_what_is_taken_along_is_so_in_every_half() -> None:
    def prove(without: Sequence[Candidate]) -> TrialVerdict:
        gone = {one.distribution for one in without}
        broken = (("small", "no module"),) if "large" in gone and "small" not in gone else ()
        return TrialVerdict(texts=("assert False",) if "needed" in gone else (), broken=broken)

    for order in (["needed", "large"], ["large", "needed"]):
        search = Search(prove, spare=[candidate("small")])
        found = search.run([candidate(name) for name in order])
        assert {one.distribution for one in found} == {"large", "small"}
        assert [one.pattern for one in search.rejected] == ["needed.py"]


def test_the_limit_keeps_what_passed() -> None:
    search = Search(needing({"a", "c", "e"}, lambda _: "no"), limit=3)
    found = search.run([candidate(name) for name in "abcdefgh"])
    assert search.trials == 3
    assert not {one.distribution for one in found} & {"a", "c", "e"}
    names = {one.pattern for one in search.rejected} | {one.pattern for one in found}
    assert names == {f"{name}.py" for name in "abcdefgh"}


def test_failures_name_modules_names_files_and_distributions() -> None:
    offered = [candidate("pkg/mod"), candidate("cacert"), candidate("dist", "exclude")]
    texts = {
        "cannot import name 'mod' from 'pkg' (/opt/python/pkg/__init__.py)": "pkg/mod.py",
        "No such file or directory: '/opt/python/cacert.py'": "cacert.py",
        "PackageNotFoundError: No package metadata was found for dist": "dist",
    }
    for text, pattern in texts.items():
        assert [one.pattern for one in named_in(text, offered)] == [pattern]


def test_the_fragment_is_yaml_that_holds_what_survived() -> None:
    survived = [candidate("grpcio", "exclude"), candidate("pkg/idle"), candidate("#odd: one")]
    text = fragment("my-layer", survived, ["pkg.gone"])
    assert yaml.safe_load(text) == {
        "layers": {
            "my-layer": {
                "excludes": {"grpcio": "no proof of the layer touches it"},
                "prune": {"add": ["pkg/idle.py", "#odd: one.py"]},
            }
        }
    }
    assert "# 1.5 kB zipped, 4.0 kB unzipped" in text
    assert yaml.safe_load(fragment("my-layer", [])) == {"layers": {"my-layer": {}}}

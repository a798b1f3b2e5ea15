import pytest
from layersmith.base import legacy
from packaging.requirements import InvalidRequirement, Requirement


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pytz (>dev)", "pytz>0.0.0dev"),
        ("six (>=1.9.*)", "six>=1.9"),
        ("wincertstore (>=2.7,!=3.0.*,<3.4.*)", "wincertstore>=2.7,!=3.0.*,<3.4"),
        ("elasticsearch-dsl (>=7.2.0<8.0.0)", "elasticsearch-dsl>=7.2.0,<8.0.0"),
        ("jupyter-core (!=~5.0,>=4.12)", "jupyter-core!=5.0.*,>=4.12"),
        ("pyzmq (>=2.7,!=3.0*,!=3.1*)", "pyzmq>=2.7,!=3.0.*,!=3.1.*"),
        ("pyzmq >=3.6,", "pyzmq>=3.6"),
        ("pyzmq (>=3.6, )", "pyzmq>=3.6"),
        ("pyarrow>=9.0.0a1.0", "pyarrow>=9.0.0a1"),
        ("botocore>=1.3.0,<1.4.0',", "botocore>=1.3.0,<1.4.0"),
        (
            "numpy '>=1.19'; python_version >= '3.7' and extra == 'a<1'",
            "numpy>=1.19; python_version >= '3.7' and extra == 'a<1'",
        ),
        ("pytz (>dev) ; extra == 'tz'", "pytz>0.0.0dev; extra == 'tz'"),
        ("httpx[http2] (>=0.2.*)", "httpx[http2]>=0.2"),
    ],
)
def test_slips_of_old_metadata(written: str, meant: str) -> None:
    assert legacy.requirement(written) == Requirement(meant)


@pytest.mark.parametrize("text", ["", "six (what?)", "a b c", ">=1", "x; unknown == 1"])
def test_what_is_not_a_requirement_stays_one_that_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequirement):
        legacy.requirement(text)


def test_sound_requirements_are_not_touched() -> None:
    text = "x==1.0.*; python_version in '3.12,3.13'"
    assert legacy.requirement(text) == Requirement(text)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_encodings_of_metadata(encoding: str) -> None:
    assert legacy.decode("Author: Zoë".encode(encoding)) == "Author: Zoë"

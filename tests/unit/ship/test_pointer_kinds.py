"""Pointers as SSM parameters, and the order in which several kinds are written."""

from __future__ import annotations

from typing import Any

import pytest
from layersmith.ship import pointers
from layersmith.ship.aws.failures import AwsFailure
from layersmith.ship.pointers import ssm
from layersmith.ship.publish.models import Pointers

from tests.unit.ship.fakes import FakeAws, refusal
from tests.unit.ship.makers import arn

PLACE = ("alpha", "python3.13", "arm64")
FOLDER = "/layers/alpha/python3.13/arm64/"
EU = "eu-west-1"


def test_parameters_are_read_from_all_pages_by_their_names() -> None:
    one, two = arn(1), arn(2)
    named = {"latest": two, "1.0.0": one, "1.1.0": two, "yanked/1.0.0": "broken", "mine": one}
    said = [{"Name": f"{FOLDER}{name}", "Value": value} for name, value in named.items()]
    aws: Any = FakeAws(
        get_parameters_by_path=[[{"Parameters": said[:2]}, {"Parameters": said[2:]}]]
    )
    found = pointers.read(aws, EU, PLACE)
    assert found == Pointers(two, {"1.0.0": one, "1.1.0": two}, {"1.0.0": "broken"}, ("mine",))
    assert found.latest_semver == "1.1.0"
    assert aws.asked("get_parameters_by_path") == [{"Path": FOLDER[:-1], "Recursive": True}]


def test_what_only_resembles_a_pointer_is_foreign() -> None:
    named = {"1.0.0": "not an ARN", "yanked/soon": "broken", "latest/1.0.0": arn(1)}
    said = [{"Name": f"{FOLDER}{name}", "Value": value} for name, value in named.items()]
    aws: Any = FakeAws(get_parameters_by_path=[[{"Parameters": said}]])
    assert pointers.read(aws, EU, PLACE) == Pointers(None, {}, {}, tuple(sorted(named)))


def test_a_parameter_is_written_over_and_its_note_is_cut() -> None:
    aws: Any = FakeAws()
    pointers.write(aws, EU, PLACE, "latest", "arn:1", note="n" * 2000)
    (said,) = aws.asked("put_parameter")
    assert (said["Name"], said["Value"], said["Overwrite"]) == (f"{FOLDER}latest", "arn:1", True)
    assert len(said["Description"]) == ssm.DESCRIPTION_LIMIT


def test_what_is_not_there_is_removed_already_and_a_refusal_is_told() -> None:
    missing: Any = FakeAws(delete_parameter=[refusal("ParameterNotFound")])
    pointers.remove(missing, EU, PLACE, "latest")
    assert missing.asked("delete_parameter") == [{"Name": f"{FOLDER}latest"}]
    refused: Any = FakeAws(delete_parameter=[refusal("AccessDeniedException")])
    with pytest.raises(AwsFailure):
        pointers.remove(refused, EU, PLACE, "latest")


def test_the_kind_that_is_read_is_written_last(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Kind:
        def __init__(self, name: str) -> None:
            self.name = name

        def read(self, *_: Any) -> Pointers:
            return Pointers(self.name)

        def write(self, *said: Any, note: str = "") -> None:
            told.append(f"{self.name} writes {said[-1]}")

        def remove(self, *said: Any) -> None:
            told.append(f"{self.name} removes {said[-1]}")

    monkeypatch.setattr(pointers, "KINDS", (Kind("first"), Kind("second")))
    aws: Any = None
    assert pointers.read(aws, EU, PLACE).latest == "first"
    pointers.write(aws, EU, PLACE, "latest", "arn")
    pointers.remove(aws, EU, PLACE, "latest")
    assert told == [
        "second writes arn",
        "first writes arn",
        "second removes latest",
        "first removes latest",
    ]

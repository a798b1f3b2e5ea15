"""The nightly run's talk with GitHub, against a server that answers as GitHub's API does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from layersmith.errors import ShipError
from layersmith.ship.cost import usage
from layersmith.ship.github import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.ship.hub import Hub


def test_one_issue_is_opened_kept_and_closed(hub: Hub) -> None:
    repository = Repository.current()
    assert repository.report("fine", differs=False) == "nothing is wrong, and no issue is open"
    assert repository.report("first", differs=True) == "opened hub/1"
    assert repository.report("second", differs=True) == "brought up to date hub/1"
    assert repository.report("china", differs=True, scope="aws-cn") == "opened hub/2"
    assert repository.report("fine", differs=False) == "closed hub/1"

    assert [(i["state"], i["body"]) for i in hub.issues] == [("closed", "fine"), ("open", "china")]


def test_jobs_of_all_pages_are_read(hub: Hub) -> None:
    jobs = Repository.current().jobs(datetime(2026, 11, 1, tzinfo=UTC))

    assert [job["labels"] for job in jobs] == [["job of run 1"], ["job of run 2"]]
    assert usage.minutes(jobs) == {"github-linux-x64-minute": 6}


def test_the_files_of_a_release_are_saved(hub: Hub, tmp_path: Path) -> None:
    stem = "alpha-1.0.0-python3.13-arm64"
    files = {f"{stem}.zip": b"zip", f"{stem}.json": b"{}", "other.zip": b"other"}
    hub.release("alpha-v1.0.0", files)
    repository = Repository.current()

    assert repository.download("alpha-v1.0.0", f"{stem}.", tmp_path)
    assert not repository.download("beta-v1.0.0", "beta.", tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        f"{stem}.zip": b"zip",
        f"{stem}.json": b"{}",
    }


def test_a_refusal_is_one_line_without_the_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "wrong-token")
    with pytest.raises(ShipError, match=r"GitHub refused: .*401") as caught:
        Repository.current().report("text", differs=True)
    assert "wrong-token" not in str(caught.value)
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(ShipError, match="GITHUB_TOKEN is not set"):
        Repository.current()
    monkeypatch.delenv("GITHUB_REPOSITORY")
    with pytest.raises(ShipError, match="GITHUB_REPOSITORY and GITHUB_TOKEN are not set"):
        Repository.current()

"""The nightly run's talk with GitHub, against a server that answers as GitHub's API does."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from layersmith.errors import ShipError
from layersmith.ship.github import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Hub:
    """Issues, runs, jobs and releases of one repository."""

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []
        self.assets: dict[str, bytes] = {}
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """Return status, body and the address of the next page."""
        parts = path.removeprefix("/repos/owner/name/").split("/")
        match method, parts:
            case "GET", ["issues"]:
                label = query["labels"][0]
                found = [i for i in self.issues if label in i["labels"] and i["state"] == "open"]
                return 200, found, None
            case "POST", ["issues"]:
                number = len(self.issues) + 1
                made = {**body, "number": number, "state": "open", "html_url": f"hub/{number}"}
                self.issues.append(made)
                return 201, made, None
            case "PATCH", ["issues", number]:
                issue = self.issues[int(number) - 1]
                issue.update(body)
                return 200, issue, None
            case "GET", ["actions", "runs"]:
                page = int(query.get("page", ["1"])[0])
                following = f"{self.url}{path}?page=2" if page == 1 else None
                return 200, {"workflow_runs": [{"id": page}]}, following
            case "GET", ["actions", "runs", number, "jobs"]:
                return 200, {"jobs": [{"labels": [f"job of run {number}"]}]}, None
            case "GET", ["releases", "tags", "alpha-v1.0.0"]:
                assets = [{"name": n, "url": f"{self.url}/assets/{n}"} for n in self.assets]
                return 200, {"assets": assets}, None
            case "GET", ["", "assets", name]:
                return 200, self.assets[name], None
        return 404, {"message": "Not Found"}, None


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub()

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            address = urlsplit(self.path)
            if self.headers["Authorization"] != "Bearer secret":
                status, said, following = 401, {"message": "Bad credentials"}, None
            else:
                query = parse_qs(address.query)
                status, said, following = made.answer(self.command, address.path, query, body)
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if following:
                self.send_header("Link", f'<{following}>; rel="next"')
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_request  # noqa: N815 -- http.server's names

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("GITHUB_API_URL", made.url)
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    yield made
    server.shutdown()
    server.server_close()


def test_one_issue_is_opened_kept_and_closed(hub: Hub) -> None:
    repository = Repository.current()
    assert repository.report("fine", differs=False) == "nothing differs, and no issue is open"
    assert repository.report("first", differs=True) == "opened hub/1"
    assert repository.report("second", differs=True) == "brought up to date hub/1"
    assert repository.report("china", differs=True, scope="aws-cn") == "opened hub/2"
    assert repository.report("fine", differs=False) == "closed hub/1"

    assert [(i["state"], i["body"]) for i in hub.issues] == [("closed", "fine"), ("open", "china")]


def test_jobs_of_all_pages_are_read(hub: Hub) -> None:
    jobs = Repository.current().jobs(datetime(2026, 11, 1, tzinfo=UTC))

    assert [job["labels"] for job in jobs] == [["job of run 1"], ["job of run 2"]]


def test_the_files_of_a_release_are_saved(hub: Hub, tmp_path: Path) -> None:
    stem = "alpha-1.0.0-python3.13-arm64"
    hub.assets = {f"{stem}.zip": b"zip", f"{stem}.json": b"{}", "other.zip": b"other"}
    repository = Repository.current()

    assert repository.download("alpha-v1.0.0", f"{stem}.", tmp_path)
    assert not repository.download("beta-v1.0.0", "beta.", tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        f"{stem}.zip": b"zip",
        f"{stem}.json": b"{}",
    }


def test_a_refusal_is_one_line_without_the_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "wrong-token")
    with pytest.raises(ShipError, match=r"GitHub refused GET issues: .*401") as caught:
        Repository.current().report("text", differs=True)
    assert "wrong-token" not in str(caught.value)
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(ShipError, match="GITHUB_TOKEN is not set"):
        Repository.current()

"""A server that answers as GitHub's API does, for one repository."""

from __future__ import annotations

import base64
import gzip
import json
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


JOB = {"started_at": "2026-11-21T20:00:00Z", "completed_at": "2026-11-21T20:02:01Z"}


class Hub:
    """Issues, runs, jobs and releases of one repository."""

    def __init__(self) -> None:
        self.issues: list[dict[str, Any]] = []
        self.releases: dict[str, dict[str, Any]] = {}
        self.assets: dict[str, dict[str, bytes]] = {}
        self.pulls: list[dict[str, Any]] = []
        self.attestations: dict[str, list[str]] = {}
        self.comments: list[dict[str, Any]] = []
        self.sarifs: list[dict[str, Any]] = []
        self.url = ""

    def release(
        self, tag: str, assets: dict[str, bytes], *, published: str | None = None, **more: Any
    ) -> None:
        """Publish a release; it is immutable from then on."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.assets[tag] = assets
        self.releases[tag] = {
            "tag_name": tag,
            "draft": False,
            "prerelease": False,
            "published_at": published or now,
            "html_url": f"hub/{tag}",
            **more,
        }

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """Return status, body and the address of the next page."""
        parts = path.removeprefix("/repos/owner/name/").split("/")
        match method, parts:
            case "GET", ["issues"]:
                label = query["labels"][0]
                found = [i for i in self.issues if label in i["labels"] and i["state"] == "open"]
                found = [{**i, "labels": [{"name": one} for one in i["labels"]]} for i in found]
                return 200, found, None
            case "POST", ["issues"]:
                number = len(self.issues) + 1
                made = {**body, "number": number, "state": "open", "html_url": f"hub/{number}"}
                made["url"] = f"{self.url}{path}/{number}"
                self.issues.append(made)
                return 201, made, None
            case "PATCH", ["issues", number]:
                issue = self.issues[int(number) - 1]
                issue.update(body)
                return 200, issue, None
            case "GET", ["issues", number, "comments"]:
                return 200, [one for one in self.comments if one["issue"] == number], None
            case "POST", ["issues", number, "comments"]:
                user = {"login": "github-actions[bot]"}
                made = {**body, "id": len(self.comments) + 1, "issue": number, "user": user}
                self.comments.append(made)
                return 201, made, None
            case "PATCH", ["issues", "comments", number]:
                self.comments[int(number) - 1].update(body)
                return 200, self.comments[int(number) - 1], None
            case "GET", ["attestations", digest] if digest in self.attestations:
                found = [{"bundle": json.loads(one)} for one in self.attestations[digest]]
                return 200, {"attestations": found}, None
        return self._worked(method, path, query, body)

    def _worked(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        parts = path.removeprefix("/repos/owner/name/").split("/")
        match method, parts:
            case "GET", ["actions", "runs"]:
                page = int(query.get("page", ["1"])[0])
                following = f"{self.url}{path}?page=2" if page == 1 else None
                run = {"id": page, "jobs_url": f"{self.url}{path}/{page}/jobs"}
                return 200, {"workflow_runs": [run]}, following
            case "GET", ["actions", "runs", number, "jobs"]:
                return 200, {"jobs": [JOB | {"labels": [f"job of run {number}"]}]}, None
            case "GET", ["actions", "runs", number]:
                return 200, {"id": int(number), "created_at": "2026-11-26T02:17:00Z"}, None
            case "POST", ["code-scanning", "sarifs"]:
                document = json.loads(gzip.decompress(base64.b64decode(body["sarif"])))
                self.sarifs.append({**body, "sarif": document})
                return 202, {"id": str(len(self.sarifs))}, None
        return self._published(method, parts, body)

    def _published(self, method: str, parts: list[str], body: Any) -> Any:
        match method, parts:
            case "GET", ["releases"]:
                return 200, list(self.releases.values()), None
            case "GET", ["releases", "tags", tag] if tag in self.releases:
                address = f"{self.url}/assets/{tag}"
                assets = [{"name": n, "url": f"{address}/{n}"} for n in self.assets[tag]]
                return 200, {**self.releases[tag], "assets": assets}, None
            case "POST", ["releases"]:
                if body["tag_name"] in self.releases:
                    return 422, {"message": "a release of this tag exists"}, None
                files = {n: base64.b64decode(text) for n, text in body["assets"].items()}
                self.release(body["tag_name"], files, prerelease=body["prerelease"])
                return 201, self.releases[body["tag_name"]], None
            case "GET", ["pulls"]:
                return 200, self.pulls, None
            case "POST", ["pulls"]:
                number = len(self.pulls) + 1
                self.pulls.append({**body, "number": number, "html_url": f"hub/pulls/{number}"})
                return 201, self.pulls[-1], None
            case "GET", ["", "assets", tag, name]:
                return 200, self.assets[tag][name], None
        return 404, {"message": "Not Found"}, None


@contextmanager
def served() -> Iterator[Hub]:
    """Serve a repository on a port of loopback while the block runs."""
    made = Hub()

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"null")
            address = urlsplit(self.path)
            if self.headers["Authorization"] != "token secret":
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
    made.url = f"http://127.0.0.1:{server.server_port}"
    with servers.serving(server):
        yield made

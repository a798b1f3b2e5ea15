"""Advisories that tests make, and an OSV service on loopback that answers with them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import yaml

from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
"""A vector of score 9.8."""

LOW = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"
"""A vector of score 1.8."""


def advisory(
    name: str,
    number: str = "PYSEC-2026-1",
    *,
    fixed: str | None = "2.0",
    ecosystem: str = "PyPI",
    vector: str | None = CRITICAL,
    aliases: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return a record: everything before ``fixed`` is affected."""
    events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
    made: dict[str, Any] = {
        "id": number,
        "modified": "2026-11-20T10:00:00Z",
        "published": "2026-11-19T10:00:00Z",
        "aliases": list(aliases),
        "details": f"{name} runs what it is sent.",
        "affected": [
            {
                "package": {"ecosystem": ecosystem, "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
        "references": [{"type": "ADVISORY", "url": f"https://advisories.example/{number}"}],
    }
    if vector:
        kind = {"CVSS:4": "CVSS_V4", "CVSS:3": "CVSS_V3"}.get(vector[:6], "CVSS_V2")
        made["severity"] = [{"type": kind, "score": vector}]
    return {**made, **more}


def database(folder: Path, *records: dict[str, Any]) -> Path:
    """Write a checkout of PyPA's advisory database; return its folder."""
    (folder / "vulns").mkdir(parents=True, exist_ok=True)
    for one in records:
        package = folder / "vulns" / one["affected"][0]["package"]["name"]
        package.mkdir(exist_ok=True)
        (package / f"{one['id']}.yaml").write_text(yaml.safe_dump(one, sort_keys=False))
    return folder


@dataclass
class OsvService:
    """What a service on loopback holds.

    Attributes:
        records: The advisories by identifier.
        page: Advisories of a page.
        asked: The paths that were asked, in order.
        queries: The queries of all batches.
        answers: Paths and what is sent for them instead: a status, or bytes.
        lies: Name of a package to identifiers that are listed for it, whatever it is.
    """

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    page: int = 1000
    asked: list[str] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, int | bytes] = field(default_factory=dict)
    lies: dict[str, list[str]] = field(default_factory=dict)
    url: str = ""

    def add(self, *records: dict[str, Any]) -> None:
        """Add advisories."""
        self.records |= {one["id"]: one for one in records}

    def listed(self, query: dict[str, Any]) -> dict[str, Any]:
        """Return the result of one query; every record of the package counts as a match."""
        package = query["package"]
        found = [
            {"id": one, "modified": self.records.get(one, {}).get("modified", "2026-01-01T00:00Z")}
            for one in (
                *(name for name, one in self.records.items() if _about(one, package)),
                *self.lies.get(package["name"], ()),
            )
        ]
        start = int(query.get("page_token", "0"))
        page: dict[str, Any] = {"vulns": found[start : start + self.page]} if found else {}
        if start + self.page < len(found):
            page["next_page_token"] = str(start + self.page)
        return page


def _about(record: dict[str, Any], package: dict[str, str]) -> bool:
    return any(
        (one["package"]["ecosystem"], one["package"]["name"])
        == (package["ecosystem"], package["name"])
        for one in record["affected"]
    )


@contextmanager
def serving() -> Iterator[OsvService]:
    """Serve an OSV service on loopback."""
    service = OsvService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(service.records.get(self.path.rpartition("/")[2]))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            service.queries += body["queries"]
            self._send({"results": [service.listed(query) for query in body["queries"]]})

        def _send(self, found: Any) -> None:
            service.asked.append(self.path)
            said = service.answers.get(self.path)
            content = said if isinstance(said, bytes) else json.dumps(found).encode()
            missing = 404 if found is None and said is None else 200
            self.send_response(said if isinstance(said, int) else missing)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    with servers.serving(server):
        yield service

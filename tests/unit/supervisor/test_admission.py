"""Which requests may reach the server."""

from __future__ import annotations

import pytest
from chroma_supervisor.proxy.admission import (
    changes_data,
    check_headers,
    check_target,
    forwarded,
    grows_data,
)
from chroma_supervisor.proxy.answers import Refusal
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


@pytest.mark.parametrize(
    "target",
    [
        "/api/v2/heartbeat",
        f"{COLLECTIONS}/words/query",
        f"{COLLECTIONS}?limit=3&offset=../..",
        f"{COLLECTIONS}/caf%C3%A9.2",
        f"{COLLECTIONS}/a..b",
        "/_session/status",
    ],
)
def test_plain_targets_pass(target: str) -> None:
    check_target(target)


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "heartbeat",
        "*",
        "/api/v2/../../etc/passwd",
        "/api/v2/%2e%2e/%2E%2E/etc/passwd",
        "/api/v2/tenants/..%2f..%2fetc",
        "/api/v2/tenants/..%5c..%5cetc",
        "/api/v2/tenants/%252e%252e/databases",
        "/api/v2/tenants/a%00b",
        "/api/v2/tenants/a%0d%0aHost:%20evil",
        "/api/v2/tenants/%ff%fe",
        "/api/v2/./heartbeat",
        "/api/v2/heartbeat#fragment",
    ],
)
def test_targets_that_could_lead_elsewhere_are_malformed(target: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_target(target)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "target", ["/", "/docs/", "/openapi.json", "/api/v1/heartbeat", "//api/v2/x"]
)
def test_only_the_api_is_served(target: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_target(target)
    assert caught.value.status == 404


def test_reset_is_forbidden() -> None:
    with pytest.raises(Refusal) as caught:
        check_target("/api/v2/reset")
    assert caught.value.status == 403


@given(st.text(alphabet=st.sampled_from("./\\%2eEfF5cC0"), max_size=12))
def test_no_segment_that_passes_decodes_to_a_way_up(name: str) -> None:
    from urllib.parse import unquote

    try:
        check_target(f"/api/v2/tenants/{name}/databases")
    except Refusal:
        return
    for segment in unquote(unquote(f"/api/v2/tenants/{name}/databases")).split("/"):
        assert segment not in {"..", "."}
        assert "\\" not in segment


@pytest.mark.parametrize(
    ("method", "path", "changes", "grows"),
    [
        ("GET", COLLECTIONS, False, False),
        ("POST", f"{COLLECTIONS}/x/query", False, False),
        ("POST", f"{COLLECTIONS}/x/get", False, False),
        ("POST", f"{COLLECTIONS}/x/upsert", True, True),
        ("POST", f"{COLLECTIONS}/x/add", True, True),
        ("POST", COLLECTIONS, True, True),
        ("POST", f"{COLLECTIONS}/x/delete", True, False),
        ("DELETE", f"{COLLECTIONS}/x", True, False),
        ("POST", f"{COLLECTIONS}/x/what-comes-next", True, False),
    ],
)
def test_what_changes_the_data(method: str, path: str, changes: bool, grows: bool) -> None:
    assert changes_data(method, path) is changes
    assert grows_data(method, path) is grows


def test_lengths_and_encodings() -> None:
    check_headers(CIMultiDict(), 100, 100)
    check_headers(CIMultiDict({"content-encoding": "Identity"}), None, 100)
    with pytest.raises(Refusal) as caught:
        check_headers(CIMultiDict(), 101, 100)
    assert (caught.value.status, caught.value.close) == (413, True)
    with pytest.raises(Refusal) as caught:
        check_headers(CIMultiDict({"content-encoding": "gzip"}), 10, 100)
    assert caught.value.status == 415


def test_headers_of_one_connection_and_the_token_stay_here() -> None:
    headers = [
        ("Host", "session:8080"),
        ("Authorization", "Bearer secret"),
        ("Connection", "keep-alive, X-Private"),
        ("X-Private", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Type", "application/json"),
        ("X-Trace", "a"),
        ("X-Trace", "b"),
    ]
    assert forwarded(headers) == [
        ("Content-Type", "application/json"),
        ("X-Trace", "a"),
        ("X-Trace", "b"),
    ]

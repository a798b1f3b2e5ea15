"""Which pool of connections and which login a request gets."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from layersmith.base import routes
from layersmith.base.origins import Origins


class Pool(httpx.BaseTransport):
    """Answers as told and keeps what it was sent."""

    def __init__(self, **made: Any) -> None:
        self.made = made
        self.sent: list[str | None] = []
        self.statuses: list[int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request.headers.get("authorization"))
        return httpx.Response(self.statuses.pop(0) if self.statuses else 200, request=request)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[Pool]:
    made: list[Pool] = []

    def make(**options: Any) -> Pool:
        made.append(Pool(**options))
        return made[-1]

    monkeypatch.setattr(httpx, "HTTPTransport", make)
    monkeypatch.setenv("NETRC", "/nowhere")
    monkeypatch.setenv("XDG_DATA_HOME", "/nowhere")
    return made


def client(**settings: Any) -> httpx.Client:
    keys = {key.replace("_", "-"): value for key, value in settings.items()}
    return httpx.Client(transport=routes.Routes(Origins(keys), httpx.Limits()), trust_env=False)


def test_hosts_share_a_pool_unless_their_proxy_or_trust_differs(pools: list[Pool]) -> None:
    found = client(
        https_proxy="http://proxy.test", no_proxy=["near.test"], allow_insecure_host=["old.test"]
    )
    for host in ("a.test", "b.test", "near.test", "old.test", "a.test"):
        found.get(f"https://{host}/")
    proxies = [pool.made["proxy"] for pool in pools]
    assert proxies == ["http://proxy.test", None, "http://proxy.test"]
    assert [len(pool.sent) for pool in pools] == [3, 1, 1]
    assert [pool.made["verify"].check_hostname for pool in pools] == [True, True, False]


def test_logins_are_tried_until_one_is_taken(pools: list[Pool]) -> None:
    index = [{"url": f"https://{name}:pw@h.test/{name}/"} for name in ("one", "two")]
    found = client(index=index)
    assert found.get("https://elsewhere.test/").status_code == 200
    (pool,) = pools
    assert pool.sent == [None]
    pool.sent.clear()
    assert found.get("https://h.test/two/x").status_code == 200
    assert len(pool.sent) == 1
    first = pool.sent[0]
    pool.statuses = [401]
    assert found.get("https://h.test/two/x").status_code == 200
    assert pool.sent[1] == first
    assert pool.sent[2] not in {None, first}
    pool.statuses = [403, 401]
    assert found.get("https://h.test/two/x").status_code == 401
    pool.sent.clear()
    found.get("https://h.test/", headers={"authorization": "mine"})
    assert pool.sent == ["mine"]

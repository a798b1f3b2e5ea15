"""The HTTP client that reaches what uv reaches.

Logins, certificates and proxies are those that uv is set up with (see origins), chosen for each
request by its URL; so a redirect to another host never carries a login that is not that host's.
"""

from __future__ import annotations

import os
import ssl
import threading
from typing import TYPE_CHECKING

import httpx

from layersmith.base import origins
from layersmith.base.http import REFUSED, RequestFailed

if TYPE_CHECKING:
    from pathlib import Path


class Routes(httpx.BaseTransport):
    """Sends each request the way that its URL asks for: which login, which proxy, which TLS.

    Args:
        found: Where packages come from.
        limits: Bounds of each pool of connections.
    """

    def __init__(self, found: origins.Origins, limits: httpx.Limits) -> None:
        self._origins = found
        self._limits = limits
        self._pools: dict[tuple[str | None, bool], httpx.HTTPTransport] = {}
        self._guard = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, with one login after the other until one is taken.

        Raises:
            RequestFailed: The certificates that are configured cannot be read.
        """
        url = str(request.url)
        pool = self._pool(self._origins.proxy(url), self._origins.is_insecure(url))
        if "authorization" in request.headers:
            return pool.handle_request(request)
        logins = self._origins.logins(url)
        for login in logins[:-1]:
            answer = pool.handle_request(_signed(request, login))
            if answer.status_code not in REFUSED:
                return answer
            answer.close()
        return pool.handle_request(_signed(request, logins[-1]) if logins else request)

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()

    def _pool(self, proxy: str | None, insecure: bool) -> httpx.HTTPTransport:
        with self._guard:
            if (proxy, insecure) not in self._pools:
                self._pools[proxy, insecure] = self._made(proxy, insecure)
            return self._pools[proxy, insecure]

    def _made(self, proxy: str | None, insecure: bool) -> httpx.HTTPTransport:
        try:
            verify = _certificates(insecure=insecure, system=self._origins.uses_system_certificates)
        except OSError as problem:
            where = "SSL_CERT_FILE, SSL_CERT_DIR or SSL_CLIENT_CERT"
            raise RequestFailed(f"the certificates of {where} cannot be read: {problem}") from None
        return httpx.HTTPTransport(verify=verify, proxy=proxy, limits=self._limits)


def client(
    root: Path | None = None, *, timeout: float, limits: httpx.Limits | None = None
) -> httpx.Client:
    """Return a client that reaches what uv reaches.

    Args:
        root: Folder in or above which uv's configuration is; by default the current one.
        timeout: Seconds without an answer after which a request fails.
        limits: Bounds of its connections.

    Raises:
        ConfigError: uv's configuration cannot be read.
    """
    routes = Routes(origins.of(root), limits or httpx.Limits())
    return httpx.Client(transport=routes, follow_redirects=True, timeout=timeout, trust_env=False)


def _signed(request: httpx.Request, login: origins.Login) -> httpx.Request:
    return next(httpx.BasicAuth(*login).auth_flow(request))


def _certificates(*, insecure: bool, system: bool) -> ssl.SSLContext:
    """Return what checks certificates: of SSL_CERT_FILE or SSL_CERT_DIR where one is set.

    Raises:
        OSError: A file is missing or holds no certificate.
    """
    context: ssl.SSLContext = (
        ssl.create_default_context() if system else httpx.create_ssl_context(verify=not insecure)
    )
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if own := os.environ.get("SSL_CLIENT_CERT"):
        context.load_cert_chain(own)
    return context

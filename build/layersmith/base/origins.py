"""Where packages come from: the indexes, logins, certificates and proxies that uv is set up with.

They are read once for uv and for our own downloads, from the variables and files that uv's
documentation names. uv passes its environment on to the builds that it starts, which are
third-party code; so it gets indexes, logins and proxies in a file that only its user can read, and
no variable holds any of them.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import itertools
import netrc
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from layersmith import process, repeats
from layersmith.base import toml
from layersmith.errors import ConfigError
from layersmith.process import without_logins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ORIGINS = (
    *("allow-insecure-host", "extra-index-url", "find-links", "http-proxy", "https-proxy"),
    *("index", "index-strategy", "index-url", "keyring-provider", "native-tls", "no-index"),
    *("no-proxy", "offline", "system-certs"),
)
"""uv's settings that say where packages come from (its settings reference)."""

MACHINE = (
    *("cache-dir", "concurrent-builds", "concurrent-downloads", "concurrent-installs"),
    *("link-mode", "no-cache", "preview", "preview-features", "pypy-install-mirror"),
    *("python-downloads", "python-downloads-json-url", "python-install-mirror"),
    "python-preference",
)
"""uv's settings of a machine, which change nothing of what is resolved."""

DEFAULT_PORTS = {"http": 80, "https": 443}

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
"""What both uv and httpx can talk to."""

KEYRING_TIMEOUT = 60.0
"""Seconds for one question to the keyring, which may have to be unlocked."""

_OFF = {"", "0", "false", "no", "off", "f", "n"}
_NAMED = re.compile(r"([A-Za-z0-9][\w.-]*)=(.+)")
_PLACES = {"cache-dir", "extra-index-url", "find-links", "index", "index-url"}


def is_there(path: Path) -> bool:
    """Whether it is a file that this user may look for."""
    repeats.saw(path)
    return os.path.isfile(path)  # noqa: PTH113 -- Path.is_file raises in a closed folder


def at_home(text: str) -> Path:
    """Return a path with ``~`` replaced; it stays where the user has no home."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 -- Path.expanduser raises without a home


class Login(NamedTuple):
    """A user and a password, neither of them percent-encoded."""

    user: str
    password: str


@dataclass(frozen=True)
class Origins:
    """Where packages come from.

    Attributes:
        settings: Content of a uv.toml, with every index and proxy, and every login that is known.
    """

    settings: Mapping[str, Any]

    def logins(self, url: str) -> list[Login]:
        """Return the logins for a URL, the likeliest first: of its own index, of its host.

        An index on the same host, port and scheme counts; the one that shares most of the path
        comes first.
        """
        at = urlsplit(url)
        same = [
            one for one in self._indexes() if _realm(one) == _realm(at) and one.password is not None
        ]
        same.sort(key=lambda one: _shared(one.path, at.path), reverse=True)
        found = [Login(unquote(one.username or ""), unquote(one.password or "")) for one in same]
        return list(dict.fromkeys([*found, *filter(None, (_stored(at) or _from_netrc(at),))]))

    def is_insecure(self, url: str) -> bool:
        """Whether a URL's certificate is not checked (allow-insecure-host)."""
        at = urlsplit(url)
        return any(
            (trusted.hostname, trusted.port or at.port) == (at.hostname, at.port)
            for trusted in map(_host, self.settings.get("allow-insecure-host", ()))
        )

    def proxy(self, url: str) -> str | None:
        """Return the proxy for a URL, with its login, or None to connect directly."""
        at = urlsplit(url)
        if any(_bypasses(entry.strip(), at) for entry in self.settings.get("no-proxy", ())):
            return None
        found = self.settings.get(f"{at.scheme}-proxy")
        return str(found) if found else None

    @property
    def uses_system_certificates(self) -> bool:
        """Whether the operating system's certificates count, not those of certifi."""
        return bool(self.settings.get("system-certs") or self.settings.get("native-tls"))

    def _indexes(self) -> Iterator[SplitResult]:
        for index in self.settings.get("index", ()):
            if index.get("authenticate") != "never":
                yield urlsplit(index["url"])
        for place in self.settings.get("find-links", ()):
            yield urlsplit(place)

    @contextlib.contextmanager
    def file(self) -> Iterator[Path]:
        """Give a uv.toml with the settings, readable by this user alone, while the block runs."""
        with tempfile.TemporaryDirectory(prefix="layersmith-uv-") as folder:
            path = Path(folder) / "uv.toml"
            path.write_text(toml.dumps(self.settings), "utf-8")
            yield path


def settings(folder: Path, file: Path | None = None) -> dict[str, Any]:
    """Return the settings of uv's files that say where packages come from, or concern the machine.

    Relative paths are made absolute: they count from the file that holds them.

    Args:
        folder: Folder in or above which uv looks for its configuration.
        file: The only file to read.

    Raises:
        ConfigError: A file of uv's configuration cannot be read.
    """
    found: dict[str, Any] = {}
    for path, content in [(file, read(file))] if file else files(folder):
        for part in (table(content, "pip"), content):
            for key in (*ORIGINS, *MACHINE):
                if key in part:
                    value = _absolute(key, part[key], path.parent)
                    found[key] = _combined(found[key], value) if key in found else value
    return found


def of(folder: Path | None = None, file: Path | None = None) -> Origins:
    """Return where packages come from.

    Args:
        folder: Folder in or above which uv looks for its configuration; by default the current one.
        file: The only file of settings to read, beside the variables.

    Raises:
        ConfigError: A file of uv's configuration cannot be read.
    """
    found = settings(folder or Path.cwd(), file)
    indexes = _all_indexes(found)
    for key in ("extra-index-url", "index-url"):
        found.pop(key, None)
    _add_variables(found)
    _add_proxies(found)
    asks_keyring = found.pop("keyring-provider", "disabled") == "subprocess"
    found["index"] = [_with_login(_valid(one), asks_keyring=asks_keyring) for one in indexes]
    return Origins({key: value for key, value in found.items() if value not in ([], None)})


def _all_indexes(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every index as uv orders them: variables before files, the default one by its mark."""
    here = Path.cwd()
    defaults = [os.environ.get(name, "") for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")]
    default = next(filter(None, defaults), "")
    first = [{**_index(default), "default": True}] if default else []
    named = [_index(word) for word in os.environ.get("UV_INDEX", "").split()]
    extra = [_index(word) for word in os.environ.get("UV_EXTRA_INDEX_URL", "").split()]
    extra += [_index(url) for url in settings.get("extra-index-url", ())]
    last = settings.get("index-url")
    found = [
        *({**one, "url": _absolute("index", one["url"], here)} for one in (*first, *named)),
        *(dict(one) for one in settings.get("index", ())),
        *({**one, "url": _absolute("index", one["url"], here)} for one in extra),
        *([{**_index(last), "default": True}] if last else []),
    ]
    chosen = next((one for one in found if one.get("default")), None)
    return [one for one in found if not one.get("default") or one is chosen]


def _index(word: str) -> dict[str, Any]:
    """Read ``URL`` or ``NAME=URL``."""
    named = _NAMED.fullmatch(word)
    return {"name": named[1], "url": named[2]} if named else {"url": word}


def _valid(index: dict[str, Any]) -> dict[str, Any]:
    """Return an index whose URL can be read.

    Raises:
        ConfigError: It cannot; the message does not repeat it, as it may hold a login.
    """
    try:
        _realm(urlsplit(index["url"]))
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"the URL of the index {index.get('name', '')} is not valid".replace("  ", " "),
            cause="it stands in uv's configuration or in a variable, e.g. UV_DEFAULT_INDEX",
            hint="characters of a login that are not letters or digits are percent-encoded in URLs",
        ) from None
    return index


def _with_login(index: dict[str, Any], *, asks_keyring: bool) -> dict[str, Any]:
    """Return an index with its login in the URL, wherever uv would find it."""
    at = urlsplit(index["url"])
    if index.get("authenticate") == "never" or at.scheme not in DEFAULT_PORTS:
        return index
    user, password = at.username, at.password
    if "name" in index:
        name = re.sub(r"[^A-Z0-9]", "_", index["name"].upper())
        user = _quoted(f"UV_INDEX_{name}_USERNAME") or user
        password = _quoted(f"UV_INDEX_{name}_PASSWORD") or password
    if password is None:
        clean, known = _url(at, None, None), unquote(user) if user else None
        found = _stored(at) or _from_netrc(at)
        if found and known not in (None, found.user):
            found = None
        if not found and asks_keyring and (known or index.get("authenticate") == "always"):
            found = _from_keyring(clean, at.netloc.rpartition("@")[2], known)
        if not found:
            return index if user == at.username else {**index, "url": _url(at, user, None)}
        user, password = quote(found.user, safe=""), quote(found.password, safe="")
    return {**index, "url": _url(at, user, password)}


def _quoted(variable: str) -> str | None:
    value = os.environ.get(variable)
    return quote(value, safe="") if value is not None else None


def _url(at: SplitResult, user: str | None, password: str | None) -> str:
    login = f"{user or ''}{'' if password is None else ':' + password}"
    host = at.netloc.rpartition("@")[2]
    return at._replace(netloc=f"{login}@{host}" if login else host).geturl()


def _stored(at: SplitResult) -> Login | None:
    """Return the login for a URL that `uv auth login` stored, of the longest service it names."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    folder = os.environ.get("UV_CREDENTIALS_DIR") or f"{data}/uv/credentials"
    try:
        path = at_home(folder) / "credentials.toml"
        entries = tomllib.loads(path.read_text("utf-8")).get("credential", [])
    except (OSError, ValueError, RuntimeError):
        return None
    fitting = [
        (len(service.path), Login(entry.get("username") or "", entry["password"]))
        for entry in entries
        if entry.get("password") is not None
        and _realm(service := urlsplit(entry["service"])) == _realm(at)
        and f"{at.path}/".startswith(f"{service.path.rstrip('/')}/")
    ]
    return max(fitting, default=(0, None), key=lambda one: one[0])[1]


def _from_netrc(at: SplitResult) -> Login | None:
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(at.hostname or "")
    except (OSError, RuntimeError, ValueError, netrc.NetrcParseError):
        return None
    return Login(found[0], found[2]) if found and found[2] is not None else None


def _from_keyring(url: str, host: str, user: str | None) -> Login | None:
    """Ask the program ``keyring`` as uv does: for the URL, then for its host."""
    return _asked(url, user) or _asked(host, user)


@functools.cache
def _asked(service: str, user: str | None) -> Login | None:
    words = [user] if user else ["--mode", "creds"]
    try:
        # The user's own program: a keyring may need whatever its owner has, even AWS credentials.
        said = process.run(
            ["keyring", "get", service, *words], timeout=KEYRING_TIMEOUT, inherit=True
        ).stdout.splitlines()
    except process.CommandFailed:
        return None
    if user:
        return Login(user, said[0]) if said else None
    return Login(said[0], said[1]) if len(said) > 1 else None


def _add_variables(found: dict[str, Any]) -> None:
    """Let uv's variables win over its files, and join their lists."""
    environ = os.environ
    if links := environ.get("UV_FIND_LINKS"):
        places = [_absolute("find-links", one, Path.cwd()) for one in links.split(",") if one]
        found["find-links"] = [*places, *found.get("find-links", ())]
    if hosts := environ.get("UV_INSECURE_HOST"):
        found["allow-insecure-host"] = [*hosts.split(), *found.get("allow-insecure-host", ())]
    for key in ("native-tls", "system-certs"):
        if value := environ.get(f"UV_{key.upper().replace('-', '_')}"):
            found[key] = value.lower() not in _OFF
    found["keyring-provider"] = environ.get("UV_KEYRING_PROVIDER") or found.get(
        "keyring-provider", "disabled"
    )


def _add_proxies(found: dict[str, Any]) -> None:
    """Add the proxies of the environment, as curl reads it, over those of uv's files."""
    both = _variable("all_proxy")
    for scheme in DEFAULT_PORTS:
        key = f"{scheme}-proxy"
        if proxy := _variable(f"{scheme}_proxy") or both or found.get(key):
            found[key] = _proxy_url(str(proxy))
    bypassed = _variable("no_proxy") or found.get("no-proxy") or []
    found["no-proxy"] = bypassed.split(",") if isinstance(bypassed, str) else bypassed


def _variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.upper()) or ""


def _proxy_url(text: str) -> str:
    scheme, _, rest = text.rpartition("://")
    # GNOME and others write socks:// for version 5; the proxy resolves names, as with socks5h.
    scheme = {"": "http", "socks": "socks5h"}.get(scheme.lower(), scheme.lower())
    try:
        at = urlsplit(f"{scheme}://{rest}")
        good = scheme in PROXY_SCHEMES and bool(at.hostname) and at.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            f"{without_logins(text)} is not the URL of a proxy",
            cause="it stands in ALL_PROXY, HTTP_PROXY, HTTPS_PROXY or uv's configuration",
            hint=f"use one of {', '.join(PROXY_SCHEMES)}, a host and a port",
        )
    return f"{scheme}://{rest}"


def files(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the files of uv's configuration with what they hold, the strongest first.

    Args:
        folder: Folder in or above which uv looks for its configuration.

    Raises:
        ConfigError: One of them cannot be read.
    """
    if named := os.environ.get("UV_CONFIG_FILE"):
        yield Path(named).absolute(), read(Path(named))
        return
    if os.environ.get("UV_NO_CONFIG", "").lower() not in _OFF:
        return
    yield from _of_project(folder.absolute())
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    system = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    for places in ([home], [*system.split(os.pathsep), "/etc"]):
        paths = (at_home(place) / "uv" / "uv.toml" for place in places if place)
        if path := next((path for path in paths if is_there(path)), None):
            yield path, read(path)


def _of_project(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the nearest configuration in or above a folder; a workspace's own is the one."""
    nearest = None
    for above in (folder, *folder.parents):
        own, shared = above / "uv.toml", above / "pyproject.toml"
        content = tool_uv(shared) if is_there(shared) else {}
        found = (own, read(own)) if is_there(own) else (shared, content) if content else None
        nearest = nearest or found
        if "workspace" in content and found:
            nearest = found
            break
    if nearest:
        yield nearest


def tool_uv(path: Path) -> dict[str, Any]:
    """Return the table [tool.uv] of a pyproject.toml; see :func:`table` and :func:`read`."""
    return table(table(read(path), "tool"), "uv")


def table(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a table; empty where there is none, which uv itself complains of."""
    found = content.get(key)
    return found if isinstance(found, dict) else {}


def read(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise ConfigError(
            f"{path.name} in {path.parent.name} cannot be read: {problem}",
            hint="correct it, or set UV_NO_CONFIG=1 to leave uv's configuration out",
            file=str(path),
        ) from None


def _combined(strong: Any, weak: Any) -> Any:
    return [*strong, *weak] if isinstance(strong, list) and isinstance(weak, list) else strong


def _absolute(key: str, value: Any, folder: Path) -> Any:
    """Return a setting whose paths no longer count from the file that holds them."""
    if isinstance(value, list):
        return [_absolute(key, one, folder) for one in value]
    if isinstance(value, dict):
        return {**value, "url": _absolute(key, value["url"], folder)} if "url" in value else value
    if key in _PLACES and isinstance(value, str) and "://" not in value:
        return str(folder / at_home(value))
    return value


def _bypasses(entry: str, at: SplitResult) -> bool:
    """Whether an entry of no-proxy, a host, domain, address or network, covers a URL."""
    host = at.hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    name, _, port = entry.lower().partition(":")
    name = name.removeprefix("*").lstrip(".")
    if port and port != str(_realm(at)[2]):
        return False
    return entry == "*" or (bool(name) and f".{host}".endswith(f".{name}"))


def _host(text: str) -> SplitResult:
    return urlsplit(text if "://" in text else f"//{text}")


def _realm(at: SplitResult) -> tuple[str, str | None, int | None]:
    return at.scheme, at.hostname, at.port or DEFAULT_PORTS.get(at.scheme)


def _shared(one: str, other: str) -> int:
    """Return how many folders two paths share from their start."""
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))

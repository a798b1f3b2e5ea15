"""What is read of uv's variables and files, and what it means for a URL."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING

import pytest
from layersmith import process
from layersmith.base import origins
from layersmith.base.origins import Login, Origins
from layersmith.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VARIABLES = ("UV_", "NETRC", "XDG_", "HTTP", "ALL_PROXY", "NO_PROXY", "http", "all_", "no_proxy")


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], None]:
    def write(place: str, text: str) -> None:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def urls(found: Origins) -> list[str]:
    return [index["url"] for index in found.settings.get("index", [])]


def test_nothing_is_set(tmp_path: Path) -> None:
    assert origins.of(tmp_path).settings == {}


def test_variables_come_before_the_project_before_the_user_before_the_system(
    tmp_path: Path, write: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("pyproject.toml", '[tool.uv]\nindex-url = "https://p.test"\noffline = true\n')
    write("home/.config/uv/uv.toml", '[[index]]\nname = "u"\nurl = "https://u.test"\n')
    write("system/uv/uv.toml", 'extra-index-url = ["https://s.test"]\noffline = false\n')
    monkeypatch.setenv("UV_INDEX", "v=https://v.test\nhttps://w.test")
    found = origins.of(tmp_path / "below")
    assert found.settings["offline"] is True
    assert urls(found) == [f"https://{name}.test" for name in ("v", "w", "u", "s", "p")]
    assert [one.get("default", False) for one in found.settings["index"]] == [False] * 4 + [True]
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://d.test")
    assert urls(origins.of(tmp_path)) == [f"https://{n}.test" for n in ("d", "v", "w", "u", "s")]
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    assert urls(origins.of(tmp_path)) == [f"https://{n}.test" for n in ("d", "v", "w")]
    write("only.toml", '[pip]\nextra-index-url = ["https://o.test"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "only.toml"))
    assert urls(origins.of(tmp_path)) == [f"https://{n}.test" for n in ("d", "v", "w", "o")]


def test_a_setting_that_decides_what_is_resolved_is_not_passed_on(
    tmp_path: Path, write: Callable[[str, str], None]
) -> None:
    write("uv.toml", "no-index = true\n[pip]\nno-deps = true\ngenerate-hashes = true\n")
    assert origins.of(tmp_path).settings == {"no-index": True}


def test_paths_count_from_their_file(
    tmp_path: Path, write: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a/uv.toml", 'find-links = ["wheels"]\n[[index]]\nurl = "./simple"\n')
    monkeypatch.setenv("UV_FIND_LINKS", "/x,https://h.test/l")
    found = origins.of(tmp_path / "a" / "b")
    assert found.settings["find-links"] == ["/x", "https://h.test/l", str(tmp_path / "a/wheels")]
    assert urls(found) == [str(tmp_path / "a" / "simple")]


def test_a_login_is_written_for_uv_as_it_stands_in_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX", "corp=https://index.test:8443/a/simple")
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "me@corp.test")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", 'p/w:"ä')
    found = origins.of(tmp_path)
    assert urls(found) == ["https://me%40corp.test:p%2Fw%3A%22%C3%A4@index.test:8443/a/simple"]
    assert found.logins("https://index.test:8443/files/x.whl") == [Login("me@corp.test", 'p/w:"ä')]
    with found.file() as path:
        assert tomllib.loads(path.read_text("utf-8")) == found.settings
    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://index.test/one/files/x.whl", ["a", "b"]),
        ("https://index.test/two/files/x.whl", ["b", "a"]),
        ("https://index.test:443/two/x.whl", ["b", "a"]),
        ("https://index.test:8443/one/x.whl", ["c"]),
        ("http://index.test/one/x.whl", []),
        ("https://files.test/one/x.whl", []),
        ("file:///one/x.whl", []),
    ],
)
def test_a_login_is_for_its_host_port_and_scheme(
    url: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = "https://a:x@index.test/one/simple https://b:x@index.test/two/simple"
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", f"{known} https://c:x@index.test:8443/one")
    assert [login.user for login in origins.of(tmp_path).logins(url)] == expected


def test_an_index_that_asks_for_none_is_sent_no_login(
    tmp_path: Path, write: Callable[[str, str], None]
) -> None:
    write("uv.toml", '[[index]]\nurl = "https://a:b@h.test"\nauthenticate = "never"\n')
    assert origins.of(tmp_path).logins("https://h.test/x.whl") == []


def test_a_login_of_netrc_needs_the_user_that_the_url_names(
    tmp_path: Path, write: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("home/.netrc", "machine h.test login me password pw\n")
    (tmp_path / "home/.netrc").chmod(0o600)
    for url, expected in {
        "https://h.test/s": "https://me:pw@h.test/s",
        "https://me@h.test/s": "https://me:pw@h.test/s",
        "https://you@h.test/s": "https://you@h.test/s",
        "https://you:own@h.test/s": "https://you:own@h.test/s",
        "https://other.test/s": "https://other.test/s",
    }.items():
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        assert urls(origins.of(tmp_path)) == [expected]


@pytest.mark.parametrize(
    ("trusted", "url", "expected"),
    [
        ("h.test", "https://h.test/x", True),
        ("h.test", "https://h.test:8443/x", True),
        ("h.test:8443", "https://h.test:8443/x", True),
        ("h.test:8443", "https://h.test/x", False),
        ("https://h.test", "https://h.test/x", True),
        ("test", "https://h.test/x", False),
    ],
)
def test_hosts_that_are_trusted(trusted: str, url: str, expected: bool, tmp_path: Path) -> None:
    found = Origins({"allow-insecure-host": [trusted]})
    assert found.is_insecure(url) is expected


@pytest.mark.parametrize(
    ("bypassed", "url", "proxied"),
    [
        ("", "https://h.test/x", True),
        ("*", "https://h.test/x", False),
        ("h.test", "https://h.test/x", False),
        ("h.test", "https://a.h.test/x", False),
        (".h.test", "https://a.h.test/x", False),
        ("*.h.test", "https://a.h.test/x", False),
        ("h.test", "https://ah.test/x", True),
        ("h.test:443", "https://h.test/x", False),
        ("h.test:80", "https://h.test/x", True),
        ("a.test, 10.0.0.0/8", "https://10.1.2.3:8/x", False),
        ("10.0.0.0/8", "https://11.1.2.3/x", True),
        ("::1", "https://[::1]:8/x", False),
    ],
)
def test_what_goes_past_the_proxy(
    bypassed: str, url: str, proxied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p.test:1")
    monkeypatch.setenv("no_proxy", bypassed)
    assert origins.of(tmp_path).proxy(url) == ("http://p.test:1" if proxied else None)


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("p.test:1", "http://p.test:1"),
        ("socks://p.test:1", "socks5h://p.test:1"),
        ("SOCKS5://a:b@p.test:1", "socks5://a:b@p.test:1"),
        ("https://p.test", "https://p.test"),
    ],
)
def test_how_proxies_are_written(
    value: str, proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    assert origins.of(tmp_path).settings["https-proxy"] == proxy
    monkeypatch.setenv("http_proxy", "http://other.test")
    found = origins.of(tmp_path)
    assert found.proxy("http://h.test") == "http://other.test"
    assert found.proxy("https://h.test") == proxy


@pytest.mark.parametrize(
    "value", ["socks4://a:hidden@p.test", "http://", "http://a:hidden@p.test:port", "http://[::1"]
)
def test_what_is_no_proxy(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(ConfigError, match="not the URL of a proxy") as refused:
        origins.of(tmp_path)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://h.test:port/x", "https://[::1/x", "https://a:pass#word@h.test"]
)
def test_an_index_whose_url_is_not_one(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", url)
    with pytest.raises(ConfigError, match="the URL of the index is not valid"):
        origins.of(tmp_path)


def test_a_configuration_that_is_damaged(tmp_path: Path, write: Callable[[str, str], None]) -> None:
    write("uv.toml", "index = ")
    with pytest.raises(ConfigError, match=r"uv\.toml in .* cannot be read"):
        origins.of(tmp_path)


@pytest.mark.parametrize(
    ("user", "said", "expected"),
    [
        ("me", ["pw"], Login("me", "pw")),
        ("me", [], None),
        (None, ["you", "pw"], Login("you", "pw")),
        (None, ["you"], None),
        (None, [], None),
    ],
)
def test_the_keyring_is_asked_for_a_password_or_for_both(
    user: str | None, said: list[str], expected: Login | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], **_: object) -> process.Completed:
        asked.append(argv)
        return process.Completed(tuple(argv), 0, "\n".join(said), "")

    origins._asked.cache_clear()
    monkeypatch.setattr(process, "run", run)
    assert origins._from_keyring("https://h.test/a", "h.test", user) == expected
    words = [user] if user else ["--mode", "creds"]
    services = ["https://h.test/a"] if expected else ["https://h.test/a", "h.test"]
    assert asked == [["keyring", "get", service, *words] for service in services]
    origins._asked.cache_clear()


@pytest.mark.parametrize("service", ["https://h.test", "https://h.test/a/", "https://h.test/b"])
def test_the_store_of_uv_counts_for_what_is_below_a_service(
    service: str, tmp_path: Path, write: Callable[[str, str], None]
) -> None:
    write(
        "home/.local/share/uv/credentials/credentials.toml",
        f'[[credential]]\nservice = "{service}"\nusername = "me"\npassword = "pw"\n',
    )
    expected = [] if service.endswith("b") else [Login("me", "pw")]
    assert origins.of(tmp_path).logins("https://h.test/a/x.whl") == expected
    assert origins.of(tmp_path).logins("https://other.test/a/x.whl") == []

"""From lock to wheels on disk, through whatever stands between a user and an index."""

from __future__ import annotations

import json
import tarfile
import textwrap
import zipfile
from typing import TYPE_CHECKING

import pytest
from layersmith import cache, lock, process
from layersmith.base import elf, origins
from layersmith.errors import ConfigError
from layersmith.lock import wheelstore
from layersmith.weigh import target as weigh

from tests.support import certificates, cli, proxies

from .index import LOGIN, Handler, Index, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from layersmith.errors import BuildError

    from .conftest import Project

    Way = Callable[["Setup"], None]

USER, PASSWORD = LOGIN


class Setup:
    """What a user sets up beside layers.yaml."""

    def __init__(self, project: Project, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.project, self.folder, self.patch = project, folder, patch
        self.index = project.index

    def with_files(self, text: str, name: str = "uv.toml") -> None:
        """Let uv read a file of the project."""
        self.patch.delenv("UV_NO_CONFIG")
        self.patch.delenv("UV_DEFAULT_INDEX")
        (self.project.root / name).write_text(text)

    def with_keyring(self, user: str | None) -> None:
        """Put a program `keyring` on PATH that knows the login."""
        words = ["get", self.index.closed_url, *([user] if user else ["--mode", "creds"])]
        said = PASSWORD if user else f"{USER}\\n{PASSWORD}"
        program = self.folder / "bin" / "keyring"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\n[ "$*" = "{" ".join(words)}" ] && [ -n "$KEY_TO_KEYRING" ] || exit 1\n'
            f"printf '{said}\\n'\n"
        )
        program.chmod(0o755)
        self.patch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        self.patch.setenv("KEY_TO_KEYRING", "s3cr3t-key")


@pytest.fixture
def setup(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setup:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("NETRC", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "UV_CREDENTIALS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    origins._asked.cache_clear()
    project.index.wheel("needed", "1.0")
    project.write("requirements: [needed]")
    return Setup(project, tmp_path, monkeypatch)


def downloaded(project: Project) -> dict[str, BuildError]:
    """Lock, download what was locked and weigh it; return why files could not be downloaded."""
    found = project.lock()
    (target,) = project.targets()
    places = lock.urls(found, target, root=project.root)
    files = [wheelstore.Download(sha256, place[0], place[1]) for sha256, place in places.items()]
    failed = wheelstore.fetch(files, project.root)
    if not failed:
        weighed = weigh.weigh(target, project.root)
        assert [one.name for one in weighed.distributions] == ["needed"]
    return failed


def assert_no_secret(*folders: Path) -> None:
    """Assert that no file holds the password."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 2
    for path in files:
        assert PASSWORD.encode() not in path.read_bytes(), path


def in_the_url(setup: Setup) -> None:
    setup.patch.setenv("UV_DEFAULT_INDEX", setup.index.private_url)


def in_an_extra_url(setup: Setup) -> None:
    setup.patch.setenv("UV_DEFAULT_INDEX", setup.index.url.replace("simple", "none"))
    setup.patch.setenv("UV_EXTRA_INDEX_URL", setup.index.private_url)


def in_variables(setup: Setup) -> None:
    setup.patch.delenv("UV_DEFAULT_INDEX")
    setup.patch.setenv("UV_INDEX", f"our-own={setup.index.closed_url}")
    setup.patch.setenv("UV_INDEX_OUR_OWN_USERNAME", USER)
    setup.patch.setenv("UV_INDEX_OUR_OWN_PASSWORD", PASSWORD)


def in_variables_for_a_named_index(setup: Setup) -> None:
    url = setup.index.closed_url
    index = f'[[tool.uv.index]]\nname = "corp.main"\nurl = "{url}"\ndefault = true\n'
    setup.with_files(index, "pyproject.toml")
    setup.patch.setenv("UV_INDEX_CORP_MAIN_USERNAME", USER)
    setup.patch.setenv("UV_INDEX_CORP_MAIN_PASSWORD", PASSWORD)


def in_a_configuration(setup: Setup) -> None:
    setup.with_files(f'[pip]\nindex-url = "{setup.index.private_url}"\n')


def in_netrc(setup: Setup) -> None:
    setup.patch.setenv("UV_DEFAULT_INDEX", setup.index.closed_url)
    netrc = setup.folder / "home" / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    netrc.chmod(0o600)


def in_a_keyring(setup: Setup) -> None:
    setup.with_keyring(USER)
    url = setup.index.closed_url.replace("://", f"://{USER}@")
    setup.patch.setenv("UV_DEFAULT_INDEX", url)
    setup.patch.setenv("UV_KEYRING_PROVIDER", "subprocess")


def in_a_keyring_with_the_name(setup: Setup) -> None:
    setup.with_keyring(None)
    url = setup.index.closed_url
    index = f'[[index]]\nurl = "{url}"\nauthenticate = "always"\ndefault = true\n'
    setup.with_files(f'keyring-provider = "subprocess"\n{index}')


def in_the_store_of_uv(setup: Setup) -> None:
    setup.patch.setenv("UV_DEFAULT_INDEX", setup.index.closed_url)
    store = setup.folder / "home" / ".local" / "share" / "uv" / "credentials"
    store.mkdir(parents=True)
    service = setup.index.closed_url.removesuffix("/simple")
    (store / "credentials.toml").write_text(
        f'[[credential]]\nservice = "{service}"\nusername = "{USER}"\nscheme = "basic"\n'
        f'password = "{PASSWORD}"\n'
    )


@pytest.mark.parametrize(
    "way",
    [
        in_the_url,
        in_an_extra_url,
        in_variables,
        in_variables_for_a_named_index,
        in_a_configuration,
        in_netrc,
        in_a_keyring,
        in_a_keyring_with_the_name,
        in_the_store_of_uv,
    ],
)
def test_a_login_serves_from_lock_to_download(setup: Setup, way: Way) -> None:
    way(setup)
    assert downloaded(setup.project) == {}
    locks = setup.project.root / "locks"
    assert_no_secret(locks, cache.cache_root())


def test_a_wrong_login_is_said_and_not_shown(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_url(setup)
    setup.project.lock()
    monkeypatch.setenv("UV_DEFAULT_INDEX", setup.index.private_url.replace("s3cr3t", "wr0ng"))
    (problem,) = downloaded_from_cache(setup.project).values()
    assert "401: it does not accept the login" in problem.message
    monkeypatch.setenv("UV_DEFAULT_INDEX", setup.index.closed_url)
    (problem,) = downloaded_from_cache(setup.project).values()
    assert "401: it was sent no login" in problem.message
    assert "wr0ng" not in f"{problem.message}{problem.cause}{problem.hint}"


def downloaded_from_cache(project: Project) -> dict[str, BuildError]:
    """Download what the lock names from where the cache says it is."""
    (target,) = project.targets()
    places = lock.urls(lock.read(project.path()), target, root=project.root)
    files = [wheelstore.Download(sha256, place[0], place[1]) for sha256, place in places.items()]
    return wheelstore.fetch(files, project.root)


def test_files_that_moved_are_asked_for_again(setup: Setup) -> None:
    setup.project.lock()
    setup.index.files = "moved"
    (target,) = setup.project.targets()
    assert [one.name for one in weigh.weigh(target, setup.project.root).distributions] == ["needed"]
    for path in cache.section("wheels").rglob("*.whl"):
        path.unlink()
    setup.project.lock()
    setup.index.files = "elsewhere"
    built = cli.layers("build", cwd=setup.project.root)
    assert built.returncode == 0, built.stderr


def test_a_file_that_is_gone_says_so_once(setup: Setup) -> None:
    setup.project.lock()
    (setup.index.folder / "needed-1.0-py3-none-any.whl").unlink()
    built = cli.layers("build", cwd=setup.project.root)
    assert built.returncode == 5
    assert built.stderr.count("needed-1.0-py3-none-any.whl could not be downloaded") == 1
    assert "the index answered 404" in built.stderr


@pytest.fixture
def tls(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve the index with a certificate that nobody trusts; give the file of what to trust."""
    context, trusted = certificates.server(tmp_path)
    secure = Index(setup.index.folder)
    with serving(secure, type("Secure", (Handler,), {}), tmp_path, monkeypatch, context):
        url = secure.private_url.replace("http:", "https:")
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name, raising=False)
        yield trusted


def test_a_certificate_of_ones_own(
    setup: Setup, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls))
    assert downloaded(setup.project) == {}


def test_a_host_that_is_trusted_as_it_is(
    setup: Setup, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INSECURE_HOST", "127.0.0.1")
    assert downloaded(setup.project) == {}


def test_a_certificate_that_nobody_trusts(
    setup: Setup, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INSECURE_HOST", "127.0.0.1")
    setup.project.lock()
    monkeypatch.delenv("UV_INSECURE_HOST")
    (problem,) = downloaded_from_cache(setup.project).values()
    assert "certificate verify failed: self-signed certificate" in problem.message


def test_a_file_of_certificates_that_is_missing(
    setup: Setup, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls))
    setup.project.lock()
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.with_name("missing.pem")))
    (problem,) = downloaded_from_cache(setup.project).values()
    assert "the certificates of SSL_CERT_FILE" in problem.message


def test_a_proxy_with_a_login(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_url(setup)
    with proxies.http(login="worker:s3cr3t-passphrase") as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://worker:{PASSWORD}@{proxy.address}")
        assert downloaded(setup.project) == {}
        assert set(proxy.asked) == {f"127.0.0.1:{setup.index.port}"}
        asked = len(proxy.asked)
        assert asked >= 3, "uv for the page, then we for the file"
        assert_no_secret(setup.project.root / "locks", cache.cache_root())
        monkeypatch.setenv("HTTP_PROXY", f"http://worker:wr0ng@{proxy.address}")
        wheelstore.path_of(*stored(setup.project)).unlink()
        (problem,) = downloaded_from_cache(setup.project).values()
        assert "407" in problem.message
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        assert downloaded_from_cache(setup.project) == {}
        assert len(proxy.asked) == asked


def stored(project: Project) -> tuple[str, str]:
    """Return hash and name of the one file of a lock."""
    (entry,) = lock.read(project.path()).entries
    return entry.sha256, entry.filename


def test_a_proxy_for_tls(setup: Setup, tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls))
    with proxies.http() as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        assert downloaded(setup.project) == {}
        assert len(proxy.asked) >= 2


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
def test_a_socks_proxy(setup: Setup, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_url(setup)
    with proxies.socks5() as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://{proxy.address}")
        assert downloaded(setup.project) == {}
        assert len(proxy.asked) >= 2


def test_proxies_of_uv_itself(setup: Setup) -> None:
    with proxies.http() as proxy:
        url = setup.index.private_url
        index = f'[[index]]\nurl = "{url}"\ndefault = true\n'
        setup.with_files(f'http-proxy = "http://{proxy.address}"\n{index}')
        assert downloaded(setup.project) == {}
        assert len(proxy.asked) >= 2


def test_a_proxy_that_is_not_one(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"gopher://worker:{PASSWORD}@127.0.0.1:1")
    with pytest.raises(ConfigError, match="is not the URL of a proxy") as refused:
        downloaded(setup.project)
    assert PASSWORD not in str(refused.value)
    locked = cli.layers("lock", cwd=setup.project.root)
    assert locked.returncode == 2
    assert PASSWORD not in locked.stdout + locked.stderr
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    locked = cli.layers("lock", cwd=setup.project.root)
    assert locked.returncode == 4
    assert "Traceback" not in locked.stderr


BACKEND = """
    import json, os, pathlib, zipfile

    def _seen():
        with pathlib.Path({log!r}).open("a") as log:
            print(json.dumps(dict(os.environ)), file=log)

    def get_requires_for_build_wheel(config_settings=None):
        _seen()
        return []

    def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
        _seen()
        info, name = "curious-1.0.dist-info", "curious-1.0-py3-none-any.whl"
        metadata = "Metadata-Version: 2.1\\nName: curious\\nVersion: 1.0\\n"
        kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
            wheel.writestr("curious.py", "")
            wheel.writestr(info + "/METADATA", metadata)
            wheel.writestr(info + "/WHEEL", kind)
            wheel.writestr(info + "/RECORD", "")
        return name
"""
COMPILING = """
    import needed, os, pathlib, shlex, subprocess, sysconfig, zipfile

    def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
        library = "curious" + sysconfig.get_config_var("EXT_SUFFIX")
        compiler = shlex.split(sysconfig.get_config_var("CC"))
        subprocess.run([*compiler, "-shared", "-fPIC", "-o", library, "curious.c"], check=True)
        tag = "cp313-cp313-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
        info, name = "curious-1.0.dist-info", f"curious-1.0-{tag}.whl"
        metadata = "Metadata-Version: 2.1\\nName: curious\\nVersion: 1.0\\n"
        kind = f"Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: {tag}\\n"
        with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
            wheel.write(library)
            wheel.writestr(info + "/METADATA", metadata)
            wheel.writestr(info + "/WHEEL", kind)
            wheel.writestr(info + "/RECORD", "")
        return name
"""
PYPROJECT = """
    [project]
    name = "curious"
    dynamic = ["version"]
    [build-system]
    requires = ["needed"]
    build-backend = "backend"
    backend-path = ["."]
"""


def offer_sdist(setup: Setup, **files: str) -> None:
    """Offer an sdist with a build backend of its own and a build requirement of the index."""
    source = setup.folder / "curious-1.0"
    source.mkdir()
    (source / "pyproject.toml").write_text(textwrap.dedent(PYPROJECT))
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: curious\nVersion: 1.0\n")
    for name, text in files.items():
        (source / name.replace("_", ".")).write_text(textwrap.dedent(text))
    with tarfile.open(setup.index.folder / "curious-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)


@pytest.mark.needs("Python.h")
def test_what_compiles_is_built_from_a_private_index(setup: Setup) -> None:
    source = "int PyInit_curious(void) { return 0; }\n"
    offer_sdist(setup, backend_py=COMPILING, curious_c=source)
    in_variables(setup)
    setup.project.write("requirements: [curious]", "build: {curious: {}}")
    built = [
        cli.layers("lock", cwd=setup.project.root),
        cli.layers("build", cwd=setup.project.root),
    ]
    assert [one.returncode for one in built] == [0, 0], [one.stderr for one in built]
    locked = setup.project.path().read_text()
    assert "# build needed==1.0 --hash=sha256:" in locked
    assert "# build zig==" in locked
    (layer,) = (setup.project.root / "dist").glob("*.zip")
    with zipfile.ZipFile(layer) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        assert elf.read(archive.read(name)).machine == "aarch64"
    assert_no_secret(setup.project.root / "locks", setup.project.root / "dist", cache.cache_root())


def test_a_build_sees_no_credential(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    log = setup.folder / "seen.jsonl"
    offer_sdist(setup, backend_py=BACKEND.format(log=str(log)))
    in_variables(setup)
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", setup.index.private_url)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", setup.index.private_url)
    monkeypatch.setenv("HTTPS_PROXY", f"http://worker:{PASSWORD}@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("NPM_AUTH", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "UV_PUBLISH_PASSWORD"):
        monkeypatch.setenv(name, PASSWORD)
    setup.project.write("requirements: [curious]")
    built = [
        cli.layers("lock", cwd=setup.project.root),
        cli.layers("build", cwd=setup.project.root),
    ]
    assert [one.returncode for one in built] == [0, 0], built[-1].stderr
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(seen) > 1
    assert "# build needed==1.0" in setup.project.path().read_text()
    for environment in seen:
        assert [name for name, value in environment.items() if PASSWORD in value] == []
        assert environment["PATH"]
    assert_no_secret(setup.project.root / "locks", setup.project.root / "dist", cache.cache_root())


def test_only_known_variables_reach_what_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_OWN", PASSWORD)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", f"http://worker:{PASSWORD}@127.0.0.1:1")
    said = process.run(["env"], env={"ASKED": "for"}).stdout
    assert "HTTP_PROXY=http://127.0.0.1:1" in said
    assert "ASKED=for" in said
    assert PASSWORD not in said
    assert "HTTPS_PROXY" not in said

"""The real image in a real engine: non-root, read-only, and with the same answers after a stop."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support import clocks
from tests.support.chroma_sessions import AWS_KEYS, client, make_bucket
from tests.support.server_image import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.slow]

RUN = f"supervisor-{uuid.uuid4().hex[:8]}"
LABELS = {"layersmith.run": RUN}
START_TIMEOUT = 120.0
"""Seconds; an emulated start takes ten on an idle machine."""


class Engine:
    """Images, containers and one network of this run, removed by their label."""

    def __init__(self) -> None:
        import docker

        self.client = docker.from_env()
        self.network = self.client.networks.create(f"layersmith-{RUN}", labels=LABELS)
        [config] = self.network.attrs["IPAM"]["Config"] or self._config()
        self.gateway = config["Gateway"]
        self._images: dict[str, str] = {}

    def _config(self) -> list[dict[str, str]]:
        self.network.reload()
        found: list[dict[str, str]] = self.network.attrs["IPAM"]["Config"]
        return found

    def image(self, architecture: str, folder: Path) -> str:
        """Build the image for an architecture, once."""
        if architecture not in self._images:
            context = folder / architecture
            self._images[architecture] = build(self.client, RUN, architecture, context, LABELS)
        return self._images[architecture]

    def start(self, image: str, **environment: str) -> Any:
        """Start a container as its task definition would."""
        return self.client.containers.run(
            image,
            detach=True,
            labels=LABELS,
            network=self.network.name,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=200,
            mem_limit="512m",
            environment={"DATABASE": "receipts", **environment},
        )

    def close(self) -> None:
        chosen: dict[str, str | list[str] | bool] = {"label": f"layersmith.run={RUN}"}
        for container in self.client.containers.list(all=True, filters=chosen):
            container.remove(force=True, v=True)
        self.network.remove()
        for image in self.client.images.list(filters=chosen):
            self.client.images.remove(str(image.id), force=True)
        self.client.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def cloud(engine: Engine) -> Iterator[dict[str, str]]:
    """moto's server on the network of the containers, as their environment names it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=engine.gateway, port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield {"AWS_ENDPOINT_URL": f"http://{engine.gateway}:{port}", **AWS_KEYS}
    server.stop()


def events(container: Any) -> list[dict[str, Any]]:
    lines = container.logs().decode().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def wait(container: Any, name: str, times: int = 1) -> dict[str, Any]:
    """Wait until an event is in the log so many times; the last of them."""
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        found[:] = [event for event in events(container) if event["event"] == name]
        return len(found) >= times

    clocks.wait(enough, lambda: container.logs().decode(), START_TIMEOUT)
    return found[times - 1]


@pytest.fixture(params=["x86_64", "arm64"])
def image(
    request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> str:
    return engine.image(request.param, tmp_path_factory.mktemp("image"))


def test_the_image_keeps_a_database_over_its_own_end(
    engine: Engine, cloud: dict[str, str], image: str, words: Callable[[httpx.Client], Any]
) -> None:
    bucket = f"vectors-{uuid.uuid4().hex[:12]}"
    make_bucket(cloud["AWS_ENDPOINT_URL"], bucket)
    ssm = client(cloud["AWS_ENDPOINT_URL"], "ssm")

    def session(number: int) -> tuple[Any, httpx.Client]:
        name = f"/layersmith/test/{bucket}-{number}"
        container = engine.start(
            image,
            **cloud,
            STORAGE_URL=f"s3://{bucket}",
            SESSION_ID=f"session-{number}",
            TOKEN_REFERENCE=f"ssm:{name}",
        )
        address = wait(container, "ready")["address"]
        parameter = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
        token = json.loads(parameter["Value"])["token"]
        headers = {"Authorization": f"Bearer {token}"}
        return container, httpx.Client(
            base_url=address, headers=headers, timeout=clocks.seconds(60), trust_env=False
        )

    container, http = session(1)
    with http:
        collection = words(http)
        assert collection.upsert(*range(50)) == 200
        before = collection.nearest(17)
        assert httpx.get(f"{http.base_url}/api/v2/heartbeat", trust_env=False).status_code == 401
    check_confinement(container)
    if image.endswith("x86_64"):  # one emulated start more would show nothing more
        container.kill()
        container.start()
        wait(container, "volume_adopted")
        address = wait(container, "ready", times=2)["address"]
        with httpx.Client(base_url=address, headers=http.headers, trust_env=False) as again:
            assert words(again).nearest(17) == before, "the token or the data is gone"
    container.stop(timeout=clocks.whole(60))
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
    report = wait(container, "report")
    assert (report["flipped"], report["records"]) == (True, {"words": 50})

    container, http = session(2)
    with http:
        collection = words(http)
        assert wait(container, "ready")["snapshotId"] == report["snapshotId"]
        assert collection.nearest(17) == before
        assert http.post("/_session/finish").status_code == 202
    assert container.wait(timeout=clocks.seconds(60))["StatusCode"] == 0


def check_confinement(container: Any) -> None:
    """Assert that the container is what its Dockerfile promises."""
    probe = (
        "import os, shutil, subprocess, sys\n"
        "assert os.getuid() == os.getgid() == 10001, os.getuid()\n"
        "for place in ('/', '/opt/chroma', '/tmp', '/etc'):\n"
        "    try: open(place + '/written', 'w')\n"
        "    except OSError: continue\n"
        "    sys.exit('could write to ' + place)\n"
        "import aiohttp, chroma_supervisor.lifecycle\n"
        "assert os.path.exists(aiohttp.__cached__), 'no bytecode'\n"
        "from aiohttp import http_parser, http_writer\n"
        "assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy\n"
    )
    code, output = container.exec_run(["python3", "-c", probe])
    assert code == 0, output
    code, output = container.exec_run(["python3", "-m", "chroma_supervisor", "health"])
    assert code == 0, output
    with_size = container.client.api.containers(all=True, size=True, filters={"id": container.id})
    assert with_size[0].get("SizeRw", 0) == 0

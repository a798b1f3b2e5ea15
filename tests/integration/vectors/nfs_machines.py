"""Virtual machines: one NFS server, and clients that are each wired to it alone."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.integration.vectors import nfs_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.integration.vectors.nfs_image import Image

PATIENCE = 600.0
"""Seconds that a boot or a command may take; without KVM a boot takes a minute or more."""

MOUNT = "/mnt/store"
# What EFS's documentation recommends for Linux.
OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
# insecure: noresvport lets the client call from any port.
EXPORT = "rw,sync,insecure,no_subtree_check,no_root_squash,fsid=0"


class Machine:
    """A running virtual machine.

    Args:
        image: What it boots from.
        folder: For its console and its network's sockets, shared with the others.
        name: Of the host, by which an NFS server also tells clients apart.
        wires: QEMU's arguments for its network.
        megabytes: Of memory.
    """

    def __init__(
        self, image: Image, folder: Path, name: str, wires: Sequence[str], megabytes: int
    ) -> None:
        self.name = name
        self._console = folder / f"console-{name}"
        self._answers: queue.Queue[str] = queue.Queue()
        self._turn = threading.Lock()
        command = nfs_image.qemu(image, self._console, megabytes)
        with (folder / f"qemu-{name}").open("w") as complaints:
            # setpriv: the kernel ends the machine if this process dies without a word.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command, *wires],
                cwd=folder,
                env={**os.environ, "TMPDIR": str(folder)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _answer(self, timeout: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            line = ""
        if not line:
            console = self._console.read_text(errors="replace")[-1500:]
            raise RuntimeError(f"machine {self.name} does not answer: {console}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(f"machine {self.name}: {answer['failed']}")
        return answer

    def boot(self) -> None:
        """Wait until it takes commands."""
        self._answer(PATIENCE)
        self.sh(f"hostname {self.name}; ip link set lo up; modprobe -a virtio_net")

    def ask(self, command: str, *, timeout: float = PATIENCE, **arguments: Any) -> dict[str, Any]:
        """Send a command to nfs_guest.py, one at a time."""
        with self._turn:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
            return self._answer(timeout)

    def run(self, argv: Sequence[str], **env: str) -> str:
        """Run a program and return its output."""
        done = self.ask("run", timeout=PATIENCE + 10, argv=argv, env=env, limit=PATIENCE)
        if done["code"]:
            raise RuntimeError(f"machine {self.name}: {argv}: {done['err'][-2000:]}")
        return str(done["out"])

    def sh(self, script: str) -> str:
        return self.run(["sh", "-ec", script])

    def kill(self) -> None:
        """Cut its power: nobody at the other ends is told."""
        self._process.kill()
        self._process.wait(30)


@dataclass
class Started:
    """A program that runs in a machine."""

    machine: Machine
    pid: int

    def output(self) -> str:
        return str(self.machine.ask("look", pid=self.pid)["out"])

    def code(self) -> int | None:
        code: int | None = self.machine.ask("look", pid=self.pid)["code"]
        return code

    def wait_for(self, word: str, seconds: float) -> str:
        """Wait until its output has a word."""
        deadline = time.monotonic() + seconds
        while word not in (output := self.output()):
            ended = self.code()
            assert ended is None or word in self.output(), f"ended with {ended}: {output[-3000:]}"
            assert time.monotonic() < deadline, f"no {word!r} in {seconds} s: {output[-3000:]}"
            time.sleep(0.02)
        return output

    def wait(self, seconds: float = PATIENCE) -> str:
        """Wait until it has ended well."""
        deadline = time.monotonic() + seconds
        while (code := self.code()) is None:
            assert time.monotonic() < deadline, f"runs after {seconds} s: {self.output()[-3000:]}"
            time.sleep(0.02)
        assert code == 0, f"ended with {code}: {self.output()[-3000:]}"
        return self.output()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.machine.ask("kill", pid=self.pid, number=int(number))


class Lab:
    """An NFS server and its clients.

    Args:
        image: What all of them boot from.
        folder: For what QEMU writes.
        clients: Their names; each has a wire, and is booted by `client`.
    """

    def __init__(self, image: Image, folder: Path, clients: Sequence[str]) -> None:
        self._image, self._folder = image, folder
        self._clients = clients
        self._machines: list[Machine] = []
        self.server = self._machine(
            "server", [a for c in clients for a in self._wire(c, "on")], 512
        )

    def _machine(self, name: str, wires: Sequence[str], megabytes: int) -> Machine:
        machine = Machine(self._image, self._folder, name, wires, megabytes)
        self._machines.append(machine)
        return machine

    def _wire(self, client: str, server: str) -> list[str]:
        # A stream over a Unix socket: it drops nothing, and nothing else can come in.
        end = "01" if server == "on" else "02"
        address = f"52:54:00:00:{self._clients.index(client):02}:{end}"
        stream = f"stream,id={client},server={server},addr.type=unix,addr.path=wire-{client}"
        return ["-netdev", stream, "-device", f"virtio-net-pci,netdev={client},mac={address}"]

    def serve(self) -> None:
        """Boot the server and export a folder of its ext4, as NFS 4.1 alone."""
        self.server.boot()
        for number in range(len(self._clients)):
            self.server.sh(
                f"ip address add 10.9.{number}.1/24 dev eth{number}; ip link set eth{number} up"
            )
        # EFS grants no delegations; without file leases Linux's server cannot either.
        self.server.sh("echo 0 >/proc/sys/fs/leases-enable")
        self.server.sh(
            "modprobe nfsd; mount -t nfsd nfsd /proc/fs/nfsd; mkdir -p /srv/store;"
            "echo 1048576 >/proc/fs/nfsd/max_block_size;"
            f"exportfs -o {EXPORT} '*:/srv/store'; rpc.mountd -N 3;"
            "rpc.nfsd -N 3 -N 4.2 8; echo Y >/proc/fs/nfsd/v4_end_grace"
        )

    def client(self, name: str) -> Machine:
        """Boot a client and mount the export."""
        machine = self._machine(name, self._wire(name, "off"), 768)
        machine.boot()
        number = self._clients.index(name)
        machine.sh(
            f"ip address add 10.9.{number}.2/24 dev eth0; ip link set eth0 up; mkdir -p {MOUNT};"
            f"mount -t nfs4 -o {OPTIONS} 10.9.{number}.1:/ {MOUNT}"
        )
        return machine

    def close(self) -> None:
        """End all machines, whatever they are doing."""
        for machine in self._machines:
            machine.kill()


def start(machine: Machine, argv: Sequence[str], **env: str) -> Started:
    """Leave a program running in a machine."""
    return Started(machine, int(machine.ask("start", argv=argv, env=env)["pid"]))

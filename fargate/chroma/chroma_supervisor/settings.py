"""The session as the task's environment describes it.

Every problem is collected, so that one start shows them all.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from vector_common.errors import BadRequest, SettingsError
from vector_common.names import check_database

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024

CHROMA_PAYLOAD_LIMIT = 40 * MIB
"""Default of Chroma's own ``max_payload_size_bytes`` (1.5.9); a larger body is refused there."""

SPOT_WARNING_SECONDS = 120.0
"""Fargate Spot sends SIGTERM this long before it takes the capacity away; it is also the
largest ``stopTimeout`` of a Fargate container."""

SESSION_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
"""An execution's name in Step Functions: at most 80 characters."""

TOKEN_SCHEMES = ("ssm:", "secretsmanager:", "s3://", "file://")

Mode = Literal["serve", "compact"]
BudgetPolicy = Literal["warn", "refuse", "off"]


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What one session's clients may ask for."""

    max_body_bytes: int = CHROMA_PAYLOAD_LIMIT
    requests_per_second: float = 500.0
    concurrent_requests: int = 64
    connections: int = 512
    request_seconds: float = 30.0
    """From the first byte of a request's header to the last byte of its answer."""
    body_stall_seconds: float = 5.0
    """The longest pause between two pieces of a request's body."""
    header_seconds: float = 20.0
    """The longest wait for a request on an open connection, idle or half sent."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a session needs to know; times in seconds, sizes in bytes."""

    database: str
    storage_url: str
    session_id: str
    mode: Mode = "serve"
    task_token: str | None = field(default=None, repr=False)
    token_reference: str = ""
    token_lifetime: float = 0.0
    """0: the session's deadline plus the time that ending it may take."""
    session_deadline: float = 3600.0
    idle_timeout: float = 300.0
    data_dir: Path = Path("/data")
    listen_host: str = "0.0.0.0"  # noqa: S104 - the proxy is the part that faces the network
    listen_port: int = 8080
    public_address: str = ""
    heartbeat_interval: float = 20.0
    probe_interval: float = 5.0
    """Between two questions whether Chroma answers, and how long each may take; at the third
    without an answer it is started again."""
    lease_wait: float = 90.0
    """How long to wait for another session of the database to end; its lease lasts 60 s."""
    checkpoint_interval: float = 0.0
    """Seconds between two snapshots while the session serves; 0 for none but the last."""
    catch_up_interval: float = 0.0
    """Seconds between two looks for new deltas while the session serves; 0 for none but at the
    start. Only for a session without checkpoints."""
    drain_timeout: float = 5.0
    stop_timeout: float = 20.0
    max_snapshot_bytes: int = 0
    """Writes beyond it are answered 507. 0: what the measured rate affords under the policy
    ``refuse``, no bound but the volume under ``warn``."""
    budget_policy: BudgetPolicy = "warn"
    limits: ClientLimits = ClientLimits()

    @property
    def database_dir(self) -> Path:
        """Where Chroma keeps its files: below the volume's root, so that it can be renamed."""
        return self.data_dir / "database"

    @property
    def checkpoint_dir(self) -> Path:
        """Where a checkpoint copies them to."""
        return self.data_dir / "checkpoint"

    @property
    def effective_token_lifetime(self) -> float:
        """Seconds from minting until the token is refused."""
        return self.token_lifetime or self.session_deadline + SPOT_WARNING_SECONDS


class _Environment:
    """Reads one environment and remembers what is wrong with it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self._environ.get(name, "").strip() or default

    def required(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        value = self.text(name)
        if not value:
            self.problems.append(f"{name} is not set")
        elif pattern is not None and not pattern.fullmatch(value):
            self.problems.append(f"{name}={value!r} does not match {pattern.pattern}")
        return value

    def database(self, name: str) -> str:
        value = self.required(name)
        try:
            return check_database(value) if value else value
        except BadRequest as error:
            self.problems.append(f"{name}: {error}")
            return value

    def number(self, name: str, default: float, *, low: float, high: float = 1e15) -> float:
        raw = self.text(name)
        if not raw:
            return default
        try:
            value = float(raw)
        except ValueError:
            self.problems.append(f"{name}={raw!r} is not a number")
            return default
        if not low <= value <= high:
            self.problems.append(f"{name}={raw} is not between {low:g} and {high:g}")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, allowed[0])
        if value not in allowed:
            self.problems.append(f"{name}={value!r} is not one of {', '.join(allowed)}")
        return value


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read a session's settings.

    Args:
        environ: Usually ``os.environ``. DATABASE, STORAGE_URL, SESSION_ID and, to serve,
            TOKEN_REFERENCE are required; docs/chroma-server.md lists the rest.

    Raises:
        SettingsError: Something is missing or out of range; the message lists all of it.
    """
    read = _Environment(environ)
    mode = read.choice("MODE", get_args(Mode))
    reference = read.required("TOKEN_REFERENCE") if mode == "serve" else ""
    if reference and not reference.startswith(TOKEN_SCHEMES):
        read.problems.append(f"TOKEN_REFERENCE does not start with {', '.join(TOKEN_SCHEMES)}")
    storage_url = read.required("STORAGE_URL")
    if storage_url and not storage_url.startswith(("s3://", "file://")):
        read.problems.append("STORAGE_URL does not start with s3:// or file://")
    # The log is set up before anything else; here its level is only checked.
    read.choice("LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR"))
    settings = Settings(
        database=read.database("DATABASE"),
        storage_url=storage_url,
        session_id=read.required("SESSION_ID", SESSION_NAME),
        mode="compact" if mode == "compact" else "serve",
        task_token=read.text("TASK_TOKEN") or None,
        token_reference=reference,
        token_lifetime=read.number("TOKEN_LIFETIME", 0.0, low=1),
        session_deadline=read.number("SESSION_DEADLINE", 3600.0, low=1, high=14 * 86400),
        idle_timeout=read.number("IDLE_TIMEOUT", 300.0, low=0.1, high=14 * 86400),
        data_dir=Path(read.text("DATA_DIR", "/data")),
        listen_host=read.text("LISTEN_HOST", "0.0.0.0"),  # noqa: S104 - see Settings
        listen_port=int(read.number("LISTEN_PORT", 8080, low=0, high=65535)),
        public_address=read.text("PUBLIC_ADDRESS"),
        heartbeat_interval=read.number("HEARTBEAT_INTERVAL", 20.0, low=0.05, high=3600),
        probe_interval=read.number("PROBE_INTERVAL", 5.0, low=0.05, high=3600),
        lease_wait=read.number("LEASE_WAIT", 90.0, low=0, high=3600),
        checkpoint_interval=read.number("CHECKPOINT_INTERVAL", 0.0, low=0, high=86400),
        drain_timeout=read.number("DRAIN_TIMEOUT", 5.0, low=0, high=60),
        stop_timeout=read.number("STOP_TIMEOUT", 20.0, low=0.1, high=100),
        max_snapshot_bytes=int(read.number("MAX_SNAPSHOT_BYTES", 0, low=0)),
        budget_policy=cast("BudgetPolicy", read.choice("BUDGET_POLICY", get_args(BudgetPolicy))),
        limits=_limits(read),
    )
    if read.problems:
        raise SettingsError("The task's environment is incomplete: " + "; ".join(read.problems))
    return settings


def _limits(read: _Environment) -> ClientLimits:
    base = ClientLimits()
    return ClientLimits(
        max_body_bytes=int(read.number("MAX_BODY_BYTES", base.max_body_bytes, low=1)),
        requests_per_second=read.number(
            "MAX_REQUESTS_PER_SECOND", base.requests_per_second, low=1, high=1e6
        ),
        concurrent_requests=int(
            read.number("MAX_CONCURRENT_REQUESTS", base.concurrent_requests, low=1, high=1e5)
        ),
        connections=int(read.number("MAX_CONNECTIONS", base.connections, low=1, high=1e5)),
        request_seconds=read.number("REQUEST_TIMEOUT", base.request_seconds, low=0.1),
        body_stall_seconds=read.number("BODY_TIMEOUT", base.body_stall_seconds, low=0.1),
        header_seconds=read.number("HEADER_TIMEOUT", base.header_seconds, low=0.1),
    )


def process_start() -> float:
    """:func:`time.monotonic` at the start of this process, which is before its imports.

    Linux keeps it in /proc (proc(5), field 22, in clock ticks since boot).
    """
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii")
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except OSError:
        return time.monotonic()
    ticks = int(stat.rpartition(")")[2].split()[19])
    age = uptime - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - max(age, 0.0)

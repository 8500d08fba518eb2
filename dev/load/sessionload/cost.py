"""What something costs: memory and processor of a process, calls at the API server, bytes in stores."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from localcluster.settings import Settings as ClusterSettings
from workbench.bench.audit import Call

REGISTRY = "/registry/"
PAGE = 1000
ETCD_SECONDS = 60


@dataclass(frozen=True)
class Usage:
    """A process: resident bytes, and seconds of processor since it began."""

    resident: int
    processor: float


def usage(pid: int, proc: Path = Path("/proc")) -> Usage:
    """Reads a process. Raises OSError when it is gone."""
    pages = int((proc / str(pid) / "statm").read_text().split()[1])
    # After the name, which may hold anything: utime and stime are fields 14 and 15 of the line.
    fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"))


def calls_by_user(calls: Iterable[Call], user: str) -> dict[str, int]:
    """How often the user made each kind of call, most often first."""
    counts: dict[str, int] = {}
    for call in calls:
        if call.user == user:
            counts[call.what] = counts.get(call.what, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class Stored:
    """Objects of one kind in etcd: how many, and bytes of keys and values as they are now."""

    count: int
    size: int


class Etcd:
    """A control plane's etcd, through its JSON gateway."""

    def __init__(self, settings: ClusterSettings) -> None:
        pki = settings.paths.pki
        self._port = settings.ports.etcd_client
        self._context = ssl.create_default_context(cafile=str(pki / "etcd-ca.crt"))
        name = "apiserver-etcd-client"
        self._context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")

    def stored(self) -> dict[str, Stored]:
        """Kind → what is stored of it. Raises OSError."""
        found: dict[str, Stored] = {}
        begin, end = REGISTRY.encode(), REGISTRY[:-1].encode() + b"0"
        while True:
            page = self._range(begin, end)
            for item in page.get("kvs", ()):
                key, value = base64.b64decode(item["key"]), base64.b64decode(item.get("value", ""))
                kind = _kind(key.decode())
                before = found.get(kind, Stored(0, 0))
                found[kind] = Stored(before.count + 1, before.size + len(key) + len(value))
                begin = key + b"\0"
            if not page.get("more"):
                return found

    def get(self, key: bytes) -> bytes:
        """One value. Raises OSError."""
        found = self._call("range", {"key": _encoded(key)}).get("kvs")
        if not found:
            raise OSError(f"etcd has no {key!r}")
        return base64.b64decode(found[0]["value"])

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Writes keys and values. Raises OSError.

        Each is a revision of its own: the API server's watch cache loses itself over several objects in
        one ("cache consistency check failed"), since it never writes so.
        """
        with closing(self._connection()) as connection:
            for key, value in items:
                self._call("put", {"key": _encoded(key), "value": _encoded(value)}, connection)

    def _range(self, begin: bytes, end: bytes) -> Mapping[str, Any]:
        body = {"key": _encoded(begin), "range_end": _encoded(end), "limit": PAGE}
        return self._call("range", body)

    def _call(
        self,
        what: str,
        body: Mapping[str, Any],
        connection: http.client.HTTPSConnection | None = None,
    ) -> dict[str, Any]:
        if connection is None:
            with closing(self._connection()) as own:
                return self._call(what, body, own)
        connection.request("POST", f"/v3/kv/{what}", json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise OSError(f"etcd answered {answer.status}: {text[:200]!r}")
        found: dict[str, Any] = json.loads(text)
        return found

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            "127.0.0.1", self._port, context=self._context, timeout=ETCD_SECONDS
        )


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _kind(key: str) -> str:
    parts = key.removeprefix(REGISTRY).split("/")
    # Custom resources have their group before the plural.
    return parts[1] if "." in parts[0] else parts[0]


async def redis_bytes(redis: Redis) -> int:
    """Bytes of Redis' data, without its fixed overhead."""
    info = await redis.info("memory")
    return int(info["used_memory_dataset"])


def metric(text: str, name: str) -> float:
    """The sum of a metric's series in Prometheus' text form."""
    values = [
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith((f"{name} ", f"{name}{{"))
    ]
    return sum(values)

"""Where the API server is and what lets this process in: a kubeconfig, or the pod's own account."""

from __future__ import annotations

import base64
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# kubelet writes a new token long before the old one ends.
TOKEN_SECONDS: Final = 60.0

Named = TypeVar("Named", bound="_Named")


class KubeConfigError(Exception):
    """No usable access to an API server; the message names what was looked for and what to do."""


@dataclass(frozen=True)
class Access:
    """`server` is a URL without a slash at its end; `tls` is None for plain HTTP."""

    server: str
    tls: ssl.SSLContext | None
    token: Callable[[], str] = field(repr=False)


def read_access(environment: Mapping[str, str], account: Path = ACCOUNT) -> Access:
    """Access to the cluster that KUBECONFIG names, else to the one this process runs in.

    Raises KubeConfigError.
    """
    try:
        if named := environment.get("KUBECONFIG"):
            return _from_kubeconfig(Path(named))
        return _from_pod(environment, account)
    except (OSError, ssl.SSLError, ValueError, yaml.YAMLError) as error:
        # A parser's own words may quote the file, whose lines are keys.
        said = str(error) if isinstance(error, _UnusableError | OSError) else type(error).__name__
        raise KubeConfigError(
            f"no access to a cluster: {said}; set KUBECONFIG or run in a pod with a service account"
        ) from None


class _UnusableError(ValueError):
    pass


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), extra="ignore")


class _Named(_Model):
    name: str


class _Cluster(_Model):
    server: str
    certificate_authority: Path | None = None
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False


class _User(_Model):
    client_certificate: Path | None = None
    client_certificate_data: str = Field("", repr=False)
    client_key: Path | None = None
    client_key_data: str = Field("", repr=False)
    token: str = Field("", repr=False)
    token_file: Path | None = Field(None, alias="tokenFile")
    exec: Any = None


class _Context(_Model):
    cluster: str
    user: str = ""


class _NamedCluster(_Named):
    cluster: _Cluster


class _NamedUser(_Named):
    user: _User


class _NamedContext(_Named):
    context: _Context


class _KubeConfig(_Model):
    current_context: str = ""
    clusters: list[_NamedCluster] = []
    contexts: list[_NamedContext] = []
    users: list[_NamedUser] = []


def _from_kubeconfig(path: Path) -> Access:
    try:
        config = _KubeConfig.model_validate(yaml.safe_load(path.read_text()) or {})
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise _UnusableError(f"{path} is no kubeconfig ({where})") from None
    context = _find(config.contexts, config.current_context, path).context
    cluster = _find(config.clusters, context.cluster, path).cluster
    user = _find(config.users, context.user, path).user if context.user else _User()
    if user.exec is not None:
        raise _UnusableError(
            f"{path} has a program give the credentials, which only kubectl runs: "
            "run `kubectl proxy` and name a kubeconfig whose server is its address"
        )
    server = cluster.server.rstrip("/")
    tls = _tls(cluster, user, path.parent) if server.startswith("https:") else None
    if user.token_file is None or user.token:
        return Access(server, tls, partial(str, user.token))
    return Access(server, tls, TokenFile(path.parent / user.token_file))


def _find(entries: list[Named], name: str, path: Path) -> Named:
    for entry in entries:
        if entry.name == name:
            return entry
    raise _UnusableError(f"{path} has no {name or 'current-context'!r}")


def _tls(cluster: _Cluster, user: _User, folder: Path) -> ssl.SSLContext:
    authority = _content(cluster.certificate_authority, cluster.certificate_authority_data, folder)
    context = _verifying(authority.decode() if authority else None)
    if cluster.insecure_skip_tls_verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    certificate = _content(user.client_certificate, user.client_certificate_data, folder)
    key = _content(user.client_key, user.client_key_data, folder)
    if certificate and key:
        # Python reads a certificate from a file only; this one is its user's alone.
        with tempfile.NamedTemporaryFile() as both:
            both.write(certificate + b"\n" + key)
            both.flush()
            context.load_cert_chain(both.name)
    return context


def _content(file: Path | None, data: str, folder: Path) -> bytes:
    if data:
        return base64.b64decode("".join(data.split()), validate=True)
    return (folder / file).read_bytes() if file else b""


def _verifying(authority: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority)
    # Python 3.13 checks certificates more strictly than many clusters' own authorities comply with.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _from_pod(environment: Mapping[str, str], account: Path) -> Access:
    host, port = (environment.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    if not host or not port:
        raise _UnusableError("neither KUBECONFIG nor KUBERNETES_SERVICE_HOST and _PORT are set")
    shown = f"[{host}]" if ":" in host else host
    token = TokenFile(account / "token")
    token()
    return Access(f"https://{shown}:{port}", _verifying((account / "ca.crt").read_text()), token)


class TokenFile:
    """A token that somebody renews in its file. Raises OSError where there is none."""

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._read_at = float("-inf")
        self._token = ""

    def __call__(self) -> str:
        """The token, at most a minute old."""
        if self._now() - self._read_at >= TOKEN_SECONDS:
            self._token = self._path.read_text().strip()
            self._read_at = self._now()
        return self._token

"""Where the API server is, by kubeconfig and in a pod."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agentsession_core.kube_access import (
    TOKEN_SECONDS,
    Access,
    KubeConfigError,
    TokenFile,
    read_access,
)

SECRET = "token-of-ada"
IN_POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    """A certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ada")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), private


def kubeconfig(cluster: dict[str, Any], user: dict[str, Any] | None) -> dict[str, Any]:
    other = {"name": "other", "cluster": {"server": "http://no"}}
    context = {"cluster": "c", **({"user": "u"} if user is not None else {})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [other, {"name": "c", "cluster": cluster}],
        "contexts": [{"name": "x", "context": context}],
        "users": [{"name": "u", "user": user}] if user is not None else [],
    }


def access(folder: Path, config: object) -> Access:
    path = folder / "config"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return read_access({"KUBECONFIG": str(path), **IN_POD})


def refusal(folder: Path, config: object) -> str:
    with pytest.raises(KubeConfigError) as error:
        access(folder, config)
    assert error.value.__cause__ is None
    assert SECRET not in str(error.value)
    return str(error.value)


def test_the_current_context_says_which_cluster(tmp_path: Path) -> None:
    found = access(tmp_path, kubeconfig({"server": "http://10.1.1.1:8001/"}, {"token": SECRET}))
    assert (found.server, found.tls, found.token()) == ("http://10.1.1.1:8001", None, SECRET)
    assert SECRET not in repr(found)


def test_nobody_in_particular(tmp_path: Path) -> None:
    assert access(tmp_path, kubeconfig({"server": "http://proxy"}, None)).token() == ""


def test_a_token_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(f"{SECRET}\n")
    user = {"tokenFile": "t"}
    assert access(tmp_path, kubeconfig({"server": "http://a"}, user)).token() == SECRET


@pytest.mark.parametrize("inline", [True, False])
def test_certificates_in_the_file_or_beside_it(
    tmp_path: Path, pair: tuple[bytes, bytes], inline: bool
) -> None:
    certificate, key = pair
    (tmp_path / "c.crt").write_bytes(certificate)
    (tmp_path / "c.key").write_bytes(key)
    data = [base64.b64encode(part).decode() for part in pair]
    cluster: dict[str, Any] = {"server": "https://a:6443"}
    user: dict[str, Any]
    if inline:
        cluster["certificate-authority-data"] = data[0]
        user = {"client-certificate-data": data[0], "client-key-data": data[1]}
    else:
        cluster["certificate-authority"] = "c.crt"
        user = {"client-certificate": "c.crt", "client-key": str(tmp_path / "c.key")}
    tls = access(tmp_path, kubeconfig(cluster, user)).tls
    assert tls is not None
    assert [entry["subject"] for entry in tls.get_ca_certs()] == [((("commonName", "ada"),),)]
    assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not tls.verify_flags & ssl.VERIFY_X509_STRICT


def test_certificates_go_unchecked_only_where_that_is_said(tmp_path: Path) -> None:
    cluster = {"server": "https://a", "insecure-skip-tls-verify": True}
    tls = access(tmp_path, kubeconfig(cluster, {"token": SECRET})).tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_NONE


def test_a_program_that_gives_credentials_is_named_with_a_way_out(tmp_path: Path) -> None:
    user = {"exec": {"command": "aws", "env": [{"name": "K", "value": SECRET}]}}
    assert "kubectl proxy" in refusal(tmp_path, kubeconfig({"server": "https://a"}, user))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("", "current-context"),
        (f"token: '{SECRET}", "ParserError|ScannerError"),
        (f"[{SECRET}]", "no kubeconfig"),
        ({"current-context": "x"}, "'x'"),
        (kubeconfig({"server": 3}, {"token": SECRET}), "clusters.1.cluster.server"),
        (kubeconfig({"server": "https://a"}, {"token": [SECRET]}), "users.0.user.token"),
        (
            kubeconfig({"server": "https://a", "certificate-authority": "gone"}, {"token": SECRET}),
            "gone",
        ),
        (
            kubeconfig({"server": "https://a", "certificate-authority-data": "%%"}, None),
            "set KUBECONFIG",
        ),
    ],
)
def test_a_file_that_says_nothing_of_use(tmp_path: Path, config: object, words: str) -> None:
    said = refusal(tmp_path, config)
    assert any(word in said for word in words.split("|")), said


def test_in_a_pod(tmp_path: Path, pair: tuple[bytes, bytes]) -> None:
    (tmp_path / "ca.crt").write_bytes(pair[0])
    (tmp_path / "token").write_text(SECRET)
    found = read_access(IN_POD, tmp_path)
    assert (found.server, found.token()) == ("https://10.0.0.1:443", SECRET)
    assert found.tls is not None
    assert len(found.tls.get_ca_certs()) == 1
    six = {**IN_POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}
    assert read_access(six, tmp_path).server == "https://[fd00::1]:443"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_in_a_pod_without_an_account(
    tmp_path: Path, pair: tuple[bytes, bytes], missing: str
) -> None:
    (tmp_path / "ca.crt").write_bytes(pair[0])
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / missing).unlink()
    with pytest.raises(KubeConfigError, match=missing):
        read_access(IN_POD, tmp_path)


def test_nowhere() -> None:
    with pytest.raises(KubeConfigError, match="neither KUBECONFIG nor KUBERNETES_SERVICE_HOST"):
        read_access({})


def test_a_renewed_token_is_read_within_a_minute(tmp_path: Path) -> None:
    path, now = tmp_path / "token", [100.0]
    path.write_text("first")
    token = TokenFile(path, lambda: now[0])
    assert token() == "first"
    path.write_text("second\n")
    now[0] += TOKEN_SECONDS - 1
    assert token() == "first"
    now[0] += 1
    assert token() == "second"

"""Keys and certificates of the cluster."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcluster.settings import NODE_NAME, Settings

# Longer than any development cluster lives; nothing renews these certificates.
LIFETIME = datetime.timedelta(days=3650)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class CertificateRequest:
    """One certificate to issue: file name, issuer, subject, subject alternative names."""

    name: str
    issuer: str
    common_name: str
    organization: str | None = None
    alternative_names: tuple[str, ...] = ()
    usages: tuple[x509.ObjectIdentifier, ...] = (CLIENT,)


def certificate_requests(settings: Settings) -> list[CertificateRequest]:
    """Return all certificates of the cluster.

    etcd has a CA of its own: with the cluster's, every client of the API server could read
    the whole store.
    """
    node = str(settings.network.node_address)
    api_names = (
        *("kubernetes", "kubernetes.default", "kubernetes.default.svc"),
        *("kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1"),
        *(str(settings.network.api_service), node),
    )
    return [
        CertificateRequest("apiserver", "ca", "kube-apiserver", None, api_names, (SERVER,)),
        CertificateRequest(
            "kubelet-server", "ca", f"system:node:{NODE_NAME}", None, (NODE_NAME, node), (SERVER,)
        ),
        CertificateRequest("admin", "ca", "admin", "system:masters"),
        CertificateRequest("apiserver-kubelet-client", "ca", "kube-apiserver", "system:masters"),
        CertificateRequest("controller-manager", "ca", "system:kube-controller-manager"),
        CertificateRequest("scheduler", "ca", "system:kube-scheduler"),
        CertificateRequest("kubelet", "ca", f"system:node:{NODE_NAME}", "system:nodes"),
        CertificateRequest("proxy", "ca", "system:kube-proxy"),
        # CoreDNS and the provisioner run outside of the cluster's pods, so they have
        # certificates where in-cluster ones have ServiceAccounts; addons.yaml has their roles.
        CertificateRequest("coredns", "ca", "localcluster:coredns"),
        CertificateRequest("provisioner", "ca", "localcluster:provisioner"),
        CertificateRequest("netpol", "ca", "localcluster:netpol"),
        CertificateRequest(
            "etcd", "etcd-ca", "etcd", None, ("localhost", "127.0.0.1"), (SERVER, CLIENT)
        ),
        CertificateRequest("apiserver-etcd-client", "etcd-ca", "kube-apiserver"),
    ]


def create_pki(settings: Settings, now: datetime.datetime) -> None:
    """Make all keys and certificates, unless this folder has them already.

    A cluster that an older version made gets the certificates that are new since.
    """
    folder = settings.paths.pki
    complete = folder / "complete"
    if complete.exists():
        _issue_missing(settings, now)
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    issuers = {name: _create_authority(folder, name, now) for name in ("ca", "etcd-ca")}
    for request in certificate_requests(settings):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue(request, key, *issuers[request.issuer], now)
        _write_pair(folder, request.name, key, certificate)
    service_account_key = ec.generate_private_key(ec.SECP256R1())
    _write_private(folder / "service-account.key", service_account_key)
    (folder / "service-account.pub").write_bytes(
        service_account_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    complete.touch()


def _issue_missing(settings: Settings, now: datetime.datetime) -> None:
    folder = settings.paths.pki
    for request in certificate_requests(settings):
        # The certificate is written after its key.
        if not (folder / f"{request.name}.crt").exists():
            key = ec.generate_private_key(ec.SECP256R1())
            issuer = _read_authority(folder, request.issuer)
            _write_pair(folder, request.name, key, _issue(request, key, *issuer, now))


def kubeconfig(settings: Settings, user: str) -> dict[str, object]:
    """Return the kubeconfig of one certificate's holder, with everything embedded."""

    def embedded(name: str) -> str:
        return base64.b64encode((settings.paths.pki / name).read_bytes()).decode()

    cluster = {"server": settings.api_url, "certificate-authority-data": embedded("ca.crt")}
    credentials = {
        "client-certificate-data": embedded(f"{user}.crt"),
        "client-key-data": embedded(f"{user}.key"),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NODE_NAME, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": NODE_NAME, "context": {"cluster": NODE_NAME, "user": user}}],
        "current-context": NODE_NAME,
    }


def _create_authority(
    folder: Path, name: str, now: datetime.datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{NODE_NAME}-{name}")])
    certificate = (
        _builder(subject, subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_pair(folder, name, key, certificate)
    return certificate, key


def _read_authority(folder: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{name}.key is not the key that was written there")
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes()), key


def _issue(
    request: CertificateRequest,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
) -> x509.Certificate:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, request.common_name)]
    if request.organization is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, request.organization))
    builder = (
        _builder(x509.Name(attributes), issuer.subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(request.usages), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
    )
    if request.alternative_names:
        names = x509.SubjectAlternativeName(_alternative_names(request.alternative_names))
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(names: Sequence[str]) -> list[x509.GeneralName]:
    result: list[x509.GeneralName] = []
    for name in names:
        try:
            result.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            result.append(x509.DNSName(name))
    return result


def _write_pair(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    _write_private(folder / f"{name}.key", key)
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

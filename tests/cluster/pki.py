"""The cluster's certificates and kubeconfigs: a new authority for every cluster, good for 30 days."""

import datetime
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .paths import API_SERVER, API_SERVICE, NODE, NODE_IP, TESTED_OPERATOR

USERS: dict[str, tuple[str, str | None]] = {
    "server": ("kube-apiserver", None),
    "admin": ("admin", "system:masters"),
    "controllers": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "proxy": ("system:kube-proxy", None),
    "operator": (TESTED_OPERATOR, None),
    "node": (f"system:node:{NODE}", "system:nodes"),
}
"""File name → common name and organisation, which are user and group to the API server."""


@dataclass(frozen=True)
class Authority:
    """Signs what the cluster's programs show each other."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def write_certificates(folder: Path) -> None:
    """Fill a new folder with the authority, a key pair and a kubeconfig for each user, and the token signer's keys."""
    folder.mkdir(parents=True)
    authority = _authority()
    (folder / "ca.crt").write_bytes(_certificate_pem(authority.certificate))
    _write_key(folder / "ca.key", authority.key)
    for file, (name, organisation) in USERS.items():
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{file}.crt").write_bytes(_certificate_pem(_signed(authority, key, _name(name, organisation))))
        _write_key(folder / f"{file}.key", key)
        (folder / f"{file}.kubeconfig").write_text(json.dumps(kubeconfig(folder, file), indent=1))
        (folder / f"{file}.kubeconfig").chmod(0o600)
    signer = rsa.generate_private_key(65537, 2048)
    _write_key(folder / "sa.key", signer)
    (folder / "sa.pub").write_bytes(
        signer.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def kubeconfig(folder: Path, user: str, server: str = API_SERVER) -> dict[str, object]:
    """A kubeconfig for one of USERS, by paths into `folder`."""
    credentials = {"client-certificate": str(folder / f"{user}.crt"), "client-key": str(folder / f"{user}.key")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "testbed",
        "clusters": [{"name": "testbed", "cluster": {"server": server, "certificate-authority": f"{folder}/ca.crt"}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
    }


def _authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _builder(key, _name("testbed-ca")).add_extension(x509.BasicConstraints(True, None), critical=True)
    return Authority(key, builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()))


def _signed(authority: Authority, key: ec.EllipticCurvePrivateKey, subject: x509.Name) -> x509.Certificate:
    names: list[x509.GeneralName] = [
        x509.DNSName(name) for name in ("localhost", NODE, "kubernetes", "kubernetes.default.svc")
    ]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", NODE_IP, API_SERVICE)]
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    builder = _builder(key, subject).add_extension(usage, critical=False)
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
        authority.key, hashes.SHA256()
    )


def _builder(key: ec.EllipticCurvePrivateKey, subject: x509.Name) -> x509.CertificateBuilder:
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_name("testbed-ca"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=30))
    )


def _name(common: str, organisation: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )

# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's keys and certificates, made once and kept: the same in every lab, as the ssh key is.

So the saved state of a node that has joined fits every lab of the same cache.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from . import process
from .cache import Cache
from .topology import Topology

RECIPE = 1
_DAYS = "3650"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
ADMIN = "kubernetes-admin"


@dataclass(frozen=True)
class Certificate:
    """A certificate. ``ca``: who signs it, empty for an authority. ``names``: of a server, as openssl writes them."""

    file: str
    common_name: str
    ca: str = ""
    organisation: str = ""
    names: tuple[str, ...] = ()


def certificates(topology: Topology) -> list[Certificate]:
    """Return all certificates, the authorities first. Pure."""
    hosts = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    addresses = (topology.cluster.api_service, topology.network.gateway, "127.0.0.1")
    names = (*(f"DNS:{name}" for name in (*hosts, "localhost")), *(f"IP:{address}" for address in addresses))
    return [
        Certificate("ca", "kubernetes"),
        Certificate("front-proxy-ca", "front-proxy-ca"),
        Certificate("apiserver", "kube-apiserver", "ca", names=names),
        Certificate("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "ca", "system:masters"),
        Certificate("front-proxy-client", "front-proxy-client", "front-proxy-ca"),
        Certificate("admin", ADMIN, "ca", "system:masters"),
        Certificate("controller-manager", "system:kube-controller-manager", "ca"),
        Certificate("scheduler", "system:kube-scheduler", "ca"),
    ]


def configuration(certificate: Certificate) -> str:
    """Return what openssl reads to make a certificate. Pure."""
    lines = ["[req]", "prompt = no", "distinguished_name = name", "x509_extensions = use", "[name]"]
    if certificate.organisation:
        lines.append(f"O = {certificate.organisation}")
    lines += [f"CN = {certificate.common_name}", "[use]"]
    if certificate.ca:
        usage = "serverAuth" if certificate.names else "clientAuth"
        lines += [
            "basicConstraints = critical, CA:FALSE",
            "keyUsage = critical, digitalSignature",
            f"extendedKeyUsage = {usage}",
            "authorityKeyIdentifier = keyid",
        ]
    else:
        lines += ["basicConstraints = critical, CA:TRUE", "keyUsage = critical, digitalSignature, keyCertSign"]
        lines.append("subjectKeyIdentifier = hash")
    if certificate.names:
        lines.append(f"subjectAltName = {', '.join(certificate.names)}")
    return "\n".join(lines) + "\n"


def signing_argv(certificate: Certificate, folder: Path) -> list[str]:
    """Return the command that makes a key and its certificate. Pure."""
    path = folder / certificate.file
    argv = ["openssl", "req", "-x509", *_CURVE, "-sha256", "-days", _DAYS, "-config", f"{path}.cnf"]
    if certificate.ca:
        argv += ["-CA", f"{folder / certificate.ca}.crt", "-CAkey", f"{folder / certificate.ca}.key"]
    return [*argv, "-keyout", f"{path}.key", "-out", f"{path}.crt"]


def authority(cache: Cache, topology: Topology) -> Path:
    """Return the entry with all keys and certificates."""
    wanted = certificates(topology)

    def build(work: Path) -> None:
        os.chmod(work, 0o700)
        for certificate in wanted:
            settings = work / f"{certificate.file}.cnf"
            settings.write_text(configuration(certificate), encoding="utf-8")
            process.run(signing_argv(certificate, work), timeout=60)
            settings.unlink()
        process.run(["openssl", "genrsa", "-out", str(work / "sa.key"), "2048"], timeout=60)
        process.run(
            ["openssl", "rsa", "-in", str(work / "sa.key"), "-pubout", "-out", str(work / "sa.pub")], timeout=60
        )

    return cache.get("pki", {"recipe": RECIPE, "certificates": [asdict(one) for one in wanted]}, build)


def kubeconfig(folder: Path, name: str, server: str) -> str:
    """Return the text of a kubeconfig with all it needs inside: JSON, which is YAML too."""

    def data(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    user = {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}
    values = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "lab", "cluster": {"server": server, "certificate-authority-data": data("ca.crt")}},
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        "current-context": "lab",
    }
    return json.dumps(values, indent=1) + "\n"


def authority_hash(folder: Path) -> str:
    """Return the hash of the authority's key, as ``kubeadm join --discovery-token-ca-cert-hash`` wants it."""
    key = process.run(["openssl", "x509", "-in", str(folder / "ca.crt"), "-pubkey", "-noout"], timeout=30).stdout
    der = process.run(["openssl", "pkey", "-pubin", "-outform", "DER"], timeout=30, stdin=key).stdout
    digest = process.run(["openssl", "dgst", "-sha256", "-r"], timeout=30, stdin=der).stdout.decode()
    return f"sha256:{digest.split()[0]}"

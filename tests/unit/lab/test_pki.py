# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's certificates: what is asked of openssl, and what it makes of that."""

from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from fastpath_lab import pki, topology
from fastpath_lab.cache import Cache

TOPOLOGY = topology.load()
ALL = {certificate.file: certificate for certificate in pki.certificates(TOPOLOGY)}


def test_authorities_come_before_what_they_sign():
    seen = set()
    for certificate in pki.certificates(TOPOLOGY):
        assert not certificate.ca or certificate.ca in seen
        seen.add(certificate.file)


def test_the_server_has_all_names_that_it_is_called_by():
    names = ALL["apiserver"].names
    assert {"IP:10.77.0.1", "IP:10.96.0.1", "IP:127.0.0.1", "DNS:kubernetes.default.svc", "DNS:localhost"} < set(names)


@pytest.mark.parametrize(
    ("file", "organisation", "common_name"),
    [
        ("admin", "system:masters", "kubernetes-admin"),
        ("controller-manager", "", "system:kube-controller-manager"),
        ("scheduler", "", "system:kube-scheduler"),
    ],
)
def test_who_the_clients_are(file, organisation, common_name):
    assert (ALL[file].organisation, ALL[file].common_name, ALL[file].ca) == (organisation, common_name, "ca")


def test_configuration_of_an_authority():
    assert pki.configuration(ALL["ca"]) == (
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = use\n"
        "[name]\nCN = kubernetes\n"
        "[use]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, digitalSignature, keyCertSign\n"
        "subjectKeyIdentifier = hash\n"
    )


def test_configuration_of_a_client():
    assert pki.configuration(ALL["admin"]) == (
        "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = use\n"
        "[name]\nO = system:masters\nCN = kubernetes-admin\n"
        "[use]\nbasicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\n"
        "extendedKeyUsage = clientAuth\nauthorityKeyIdentifier = keyid\n"
    )


def test_only_a_server_has_names():
    for certificate in ALL.values():
        text = pki.configuration(certificate)
        assert ("subjectAltName" in text) == ("serverAuth" in text) == (certificate.file == "apiserver")


def test_an_authority_signs_itself_and_the_others_not():
    assert "-CA" not in pki.signing_argv(ALL["ca"], Path("/k"))
    argv = pki.signing_argv(ALL["front-proxy-client"], Path("/k"))
    assert argv[argv.index("-CA") : argv.index("-CA") + 4] == [
        "-CA",
        "/k/front-proxy-ca.crt",
        "-CAkey",
        "/k/front-proxy-ca.key",
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    return pki.authority(Cache(tmp_path_factory.mktemp("cache")), TOPOLOGY)


def openssl(*argv):
    return subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("file", "purpose"), [("apiserver", "sslserver"), ("admin", "sslclient")])
def test_certificates_are_good_for_what_they_are_for(made, file, purpose):
    good = openssl("verify", "-CAfile", made / "ca.crt", "-purpose", purpose, made / f"{file}.crt")
    assert good.returncode == 0, good.stderr
    other = openssl("verify", "-CAfile", made / "front-proxy-ca.crt", made / f"{file}.crt")
    assert other.returncode != 0


def test_a_client_is_no_server(made):
    assert openssl("verify", "-CAfile", made / "ca.crt", "-purpose", "sslserver", made / "admin.crt").returncode != 0


def test_keys_are_for_their_owner_only(made):
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_no_configuration_is_left_over(made):
    assert not list(made.glob("*.cnf"))


def test_kept_and_made_once(made):
    assert pki.authority(Cache(made.parent), TOPOLOGY) == made


def test_another_address_gives_other_certificates(made):
    text = topology.DEFAULT_PATH.read_text(encoding="utf-8").replace("10.77.0.0/24", "10.79.0.0/24")
    assert pki.authority(Cache(made.parent), topology.parse(text)) != made


def test_kubeconfig_needs_no_file_beside_it(made):
    values = json.loads(pki.kubeconfig(made, "admin", "https://127.0.0.1:1"))
    cluster = values["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:1"
    assert base64.b64decode(cluster["certificate-authority-data"]) == (made / "ca.crt").read_bytes()
    user = values["users"][0]["user"]
    assert base64.b64decode(user["client-key-data"]) == (made / "admin.key").read_bytes()


def test_hash_of_the_authority(made):
    found = pki.authority_hash(made)
    assert found.startswith("sha256:") and len(found) == 7 + 64
    assert found == pki.authority_hash(made)

# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control plane without any node: up in seconds, keeps what it was given, leaves nothing."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from fastpath_lab import Lab, audit, pki
from fastpath_lab.control_plane import ControlPlane
from lab_traces import PREFIX, machine, traces
from test_lifecycle import program

pytestmark = pytest.mark.lab

READY_SECONDS = 45.0  # a fourth of that where nothing else runs but two emulated nodes


def nothing(lab):
    return {kind: found for kind, found in traces(lab).items() if found}


@pytest.fixture(scope="module")
def plane():
    """A control plane for tests that do not end it."""
    lab = Lab.open(f"{PREFIX}-plane")
    found = ControlPlane(lab)
    found.up()
    yield found
    lab.down()
    shutil.rmtree(lab.state)


def kubectl(plane, *argv, stdin=None, check=True):
    """Kubectl outside of the lab's network, as playbooks on this machine reach it."""
    command = [f"{plane.status()['programs']}/kubectl", f"--kubeconfig={plane.kubeconfig}", *argv]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def apply(plane, *objects):
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    return kubectl(plane, "apply", "--server-side", "-f", "-", stdin=text)


def config_map(name, **data):
    metadata = {"name": name, "namespace": "story"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "story"}}


def read(plane, name="kept", key="word"):
    return kubectl(plane, "-n", "story", "get", "configmap", name, "-o", f"jsonpath={{.data.{key}}}").stdout


def test_story(labs):
    lab = labs("cp")
    plane = ControlPlane(lab)
    plane.build()
    before = machine()
    start = time.monotonic()
    plane.up()
    took = time.monotonic() - start
    apply(plane, NAMESPACE, config_map("kept", word="first"))
    plane.restart()
    assert read(plane) == "first"
    assert "kube-root-ca.crt" in kubectl(plane, "-n", "story", "get", "configmap", "-o", "name").stdout
    plane.down()
    assert [name for name, pids in plane.status()["processes"].items() if pids] == []
    assert not plane.kubeconfig.exists() and not plane.folder.exists()
    lab.down()
    assert nothing(lab) == {}
    assert machine() == before
    assert took <= READY_SECONDS


def test_second_up_changes_nothing_and_heals_what_was_killed(plane):
    before = plane.status()["processes"]
    plane.up()
    assert plane.status()["processes"] == before
    for pid in before["kube-apiserver"] + before["door"]:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while plane.status()["up"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not plane.status()["up"]
    plane.up()
    after = plane.status()["processes"]
    assert plane.status()["up"]
    assert after["etcd"] == before["etcd"]
    assert "default" in kubectl(plane, "get", "namespaces", "-o", "name").stdout


def test_what_a_node_needs_to_join_is_there(plane):
    status = plane.status()
    assert status["join"][:3] == ["kubeadm", "join", status["endpoint"]]
    maps = kubectl(plane, "-n", "kube-system", "get", "configmap", "-o", "name").stdout
    assert {"configmap/kubeadm-config", "configmap/kubelet-config", "configmap/kube-proxy"} <= set(maps.split())
    info = kubectl(plane, "-n", "kube-public", "get", "configmap", "cluster-info", "-o", "json").stdout
    data = json.loads(info)["data"]
    assert f"https://{status['endpoint']}" in data["kubeconfig"]
    token = plane.topology.cluster.token.partition(".")[0]
    deadline = time.monotonic() + 20
    while f"jws-kubeconfig-{token}" not in data and time.monotonic() < deadline:
        time.sleep(0.2)
        data = json.loads(kubectl(plane, "-n", "kube-public", "get", "cm", "cluster-info", "-o", "json").stdout)["data"]
    assert f"jws-kubeconfig-{token}" in data


def test_a_kubelet_gets_its_certificate_by_the_token(plane, tmp_path):
    """What `kubeadm join` has a kubelet do: read the configuration, ask for a certificate, have it signed."""
    key, request = tmp_path / "key", tmp_path / "request"
    name = ["-subj", "/O=system:nodes/CN=system:node:node9", "-keyout", str(key), "-out", str(request)]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", "-new", *curve, *name], check=True, capture_output=True)
    config = json.loads(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": plane.topology.cluster.token}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    as_node = f"--kubeconfig={tmp_path / 'kubeconfig'}"
    assert kubectl(plane, as_node, "-n", "kube-system", "get", "configmap", "kubelet-config", "kubeadm-config")
    spec = {
        "request": base64.b64encode(request.read_bytes()).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"],
    }
    wanted = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "node9"},
        "spec": spec,
    }
    kubectl(plane, as_node, "create", "-f", "-", stdin=json.dumps(wanted))
    found = ""
    deadline = time.monotonic() + 20
    while not found and time.monotonic() < deadline:
        found = kubectl(plane, "get", "csr", "node9", "-o", "jsonpath={.status.certificate}").stdout
        time.sleep(0.2)
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"], input=base64.b64decode(found), capture_output=True, check=True
    ).stdout.decode()
    assert "system:node:node9" in text


def test_registry_has_the_images(plane):
    lab = plane.lab
    script = f"import urllib.request as u; print(u.urlopen('http://{plane.status()['registry']}/v2/_catalog').read().decode())"
    argv = lab.exec_argv(["python3", "-c", script])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert {"pause", "kube-proxy", "tools", "k8snetworkplumbingwg/multus-cni"} <= set(
        json.loads(done.stdout)["repositories"]
    )


def test_it_is_not_on_any_address_but_the_loopback(plane):
    """Outside of the lab's network only the door is open, and only with the lab's own certificate."""
    port = (plane.folder / "door-port").read_text()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", timeout=10)
    listening = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[3] for line in listening.splitlines() if f":{port} " in line] == [f"127.0.0.1:{port}"]


def test_saved_state_is_what_it_was(plane):
    apply(plane, NAMESPACE, config_map("kept", word="first"))
    plane.lab.snapshot("one")
    apply(plane, config_map("kept", word="second"), config_map("later", word="x"))
    plane.lab.restore(snapshot="one")
    assert read(plane) == "first"
    assert kubectl(plane, "-n", "story", "get", "configmap", "later", check=False).returncode != 0


def test_writes_are_counted(plane):
    apply(plane, NAMESPACE)
    log = plane.folder / "audit.log"
    before = audit.position(log)
    kubectl(plane, "get", "pods", "--all-namespaces")
    assert list(audit.writes(log, before, pki.ADMIN)) == []
    apply(plane, config_map("kept", word="first"))
    assert [(one.verb, one.path) for one in audit.writes(log, before, pki.ADMIN)] == [
        ("patch", "/api/v1/namespaces/story/configmaps/kept")
    ]


@pytest.mark.parametrize("moment", [0.5, 2.0, 5.0])
def test_killed_up_leaves_nothing_after_down(labs, moment):
    lab = labs("cpkill")
    ControlPlane(lab).build()
    running = program("cpkill", "control-plane", "up")
    time.sleep(moment)  # the moment is the subject
    running.kill()
    running.communicate(timeout=30)
    lab.down()
    assert nothing(lab) == {}


def test_killed_up_is_healed(labs):
    plane = ControlPlane(labs("cpheal"))
    plane.build()
    running = program("cpheal", "control-plane", "up")
    time.sleep(3.0)  # somewhere in the middle
    running.kill()
    running.communicate(timeout=30)
    plane.up()
    assert "default" in kubectl(plane, "get", "namespaces", "-o", "name").stdout

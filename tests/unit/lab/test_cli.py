# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's command line: what each command does with its words."""

from __future__ import annotations

import pytest
from fastpath_lab import cli, cluster_cli


def parsed(*words):
    return cli._parser().parse_args(words)


def test_kubectl_gets_all_of_its_words():
    words = ["-n", "kube-system", "get", "pods", "--help", "-o", "name"]
    assert parsed("kubectl", *words).argv == words


@pytest.mark.parametrize("action", ["up", "down", "restart", "status", "build"])
def test_actions(action):
    options = parsed("control-plane", action)
    assert (options.command, options.action) == ("control-plane", action)
    assert callable(getattr(cluster_cli.ControlPlane, action))


def test_an_action_is_needed(capsys):
    with pytest.raises(SystemExit):
        parsed("control-plane")
    assert "ACTION" in capsys.readouterr().err


def test_every_command_of_the_cluster_is_there():
    for command in cluster_cli.COMMANDS:
        words = [command, "status"] if command == "control-plane" else [command]
        assert parsed(*words).command == command


def test_status_says_what_stands_in(capsys):
    status = {
        "up": True,
        "version": "v1.36.3",
        "processes": {"etcd": [1], "registry": []},
        "endpoint": "10.77.0.1:6443",
        "registry": "10.77.0.1:5000",
        "kubeconfig": "/k",
        "join": ["kubeadm", "join", "10.77.0.1:6443"],
        "without": {"sriov-cni": "sriov-cni cannot be had"},
        "stands_in": {},
    }
    cluster_cli._show(status, as_json=False)
    text = capsys.readouterr().out
    assert "sriov-cni cannot be had" in text
    assert "kubeadm join 10.77.0.1:6443" in text

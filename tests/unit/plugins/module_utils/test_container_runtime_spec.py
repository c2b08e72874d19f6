# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a spec of containerd."""

from __future__ import annotations

from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_spec import parse_runtime


def test_every_problem_at_once():
    _spec, problems = parse_runtime(
        {
            "systemd_cgroups": True,
            "systemd_cgroup": "yes",
            "sandbox_image": "pause",
            "cni_bin_dir": "opt/cni",
            "locked_memory": "64GB",
            "kubernetes_version": 1.36,
            "registries": [
                {"name": "http://x"},
                {"name": "a.example.com"},
                {
                    "name": "b.example.com",
                    "server": "b",
                    "mirrors": [{"url": "ftp://x", "capabilities": ["run"], "via": 1}],
                },
                {"name": "b.example.com", "mirrors": "http://x"},
                "c",
                {"name": "d.example.com", "mirrors": [3]},
            ],
        }
    )
    where = "fastpath_container_runtime"
    assert {problem.variable.removeprefix(f"{where}.") for problem in problems} == {
        "systemd_cgroups",
        "systemd_cgroup",
        "sandbox_image",
        "cni_bin_dir",
        "locked_memory",
        "kubernetes_version",
        "registries[0].name",
        "registries[1]",
        "registries[2].server",
        "registries[2].mirrors[0].url",
        "registries[2].mirrors[0].capabilities",
        "registries[2].mirrors[0].via",
        "registries[3].name",
        "registries[3].mirrors",
        "registries[3]",
        "registries[4]",
        "registries[5].mirrors[0]",
        "registries[5]",
    }
    assert parse_runtime("x")[1] and parse_runtime({"registries": 3})[1]
    assert "server-side apply" in parse_runtime({"kubernetes_version": "1.15.1"})[1][0].message

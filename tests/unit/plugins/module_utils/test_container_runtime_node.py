# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""containerd on a node, there and back: restarts, what it has read, cut off anywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tomllib
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_node import (
    ContainerRuntimeConcern,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.containerd_node import (
    CONFIG,
    DOCKER,
    DROP_IN,
    HOSTS,
    LAB,
    NEW,
    OLD,
    ContainerdNode,
    actions,
    cri,
    run,
)
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.test_toml_lines import DEBIAN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

LOCKS = {**LAB, "locked_memory": "unlimited"}


@pytest.fixture
def node(tmp_path):
    return ContainerdNode(tmp_path)


def test_in_order(node):
    node.put(CONFIG, DEBIAN)
    start = node.tree()
    ahead = run(node, LAB, dry_run=True)
    assert node.tree() == start and node.commands == []
    first = run(node, LAB)
    assert first.operations == ahead.operations
    assert actions(first)[1:] == [
        ("write_file", "certs.d/10.77.0.1:5000/hosts.toml"),
        ("write_file", "config.toml"),
        ("restart_containerd", "containerd.service"),
    ]
    assert cri(node) == {
        "cni": {"bin_dir": "/opt/cni/bin", "conf_dir": "/etc/cni/net.d"},
        "containerd": {
            "runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}}}
        },
        "sandbox_image": "10.77.0.1:5000/pause:3.10",
        "registry": {"config_path": "/etc/containerd/certs.d"},
    }
    hosts = tomllib.loads(node.text(HOSTS.format("10.77.0.1:5000")) or "")
    assert hosts == {"host": {"http://10.77.0.1:5000": {"capabilities": ["pull", "resolve"]}}}
    assert "# of the distribution" in (node.text(CONFIG) or "")
    after, changes = node.tree(), node.changes
    assert not run(node, LAB).changed
    assert (node.tree(), node.changes, len(node.commands)) == (after, changes, 1)
    assert run(node, dry_run=True).changed and node.tree() == after
    gone = run(node)
    assert actions(gone)[-1] == ("forget", "container_runtime")
    assert node.tree() == start
    assert len(node.commands) == 2
    assert not run(node).changed


SECRET = '[plugins."io.containerd.grpc.v1.cri".registry.headers]\nAuthorization = ["Basic c2VjcmV0"]\n'


def test_who_may_read_the_configuration_stays_as_it_was(node):
    node.put(CONFIG, DEBIAN)
    path = Path(node.root) / CONFIG
    path.chmod(0o600)
    owner = (4711, 4712) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    run(node, LAB)
    assert (node.mode(f"/{CONFIG}"), node.owner(f"/{CONFIG}")) == (0o600, owner)
    path.chmod(0o640)
    run(node, {})
    assert (node.mode(f"/{CONFIG}"), node.owner(f"/{CONFIG}")) == (0o640, owner)
    path.unlink()
    run(node, LAB)
    run(node)
    assert node.text(CONFIG) == DEBIAN
    assert (node.mode(f"/{CONFIG}"), node.owner(f"/{CONFIG}")) == (0o600, owner)


def test_a_file_of_our_own_may_be_read_by_everybody(node):
    run(node, LAB)
    assert node.mode(f"/{CONFIG}") == 0o644


def test_what_else_stands_in_files_is_not_told(node):
    node.put(CONFIG, DEBIAN + SECRET)
    node.put(HOSTS.format("10.77.0.1:5000"), "# c2VjcmV0\n")
    ways = [run(node, LAB), run(node, {}), run(node, LAB)]
    node.put(CONFIG, (node.text(CONFIG) or "") + "[metrics]\naddress = '127.0.0.1:1338'\n")
    ways.append(run(node))
    for plan in ways:
        assert "c2VjcmV0" not in json.dumps(plan.result()) + str(plan.warnings)
    sandbox = "/etc/containerd/config.toml: plugins.io.containerd.grpc.v1.cri.sandbox_image"
    assert (ways[0].before[sandbox], ways[0].after[sandbox]) == (None, '"10.77.0.1:5000/pause:3.10"')
    assert (ways[3].before[sandbox], ways[3].after[sandbox]) == ('"10.77.0.1:5000/pause:3.10"', None)
    assert ways[0].before["/etc/containerd/config.toml"] != ways[0].after["/etc/containerd/config.toml"]


def test_a_refusal_does_not_show_lines_either(node):
    node.put(CONFIG, 'version = 2\nauth: "c2VjcmV0"\n')
    with pytest.raises(Refused, match="line 2 ") as refused:
        run(node, LAB)
    assert "c2VjcmV0" not in refused.value.message


def test_a_stopped_containerd_is_started(node):
    node.active = False
    assert actions(run(node, {}))[-1] == ("start_containerd", "containerd.service")
    node.active = False
    assert actions(run(node, {})) == [("start_containerd", "containerd.service")]


def test_one_that_does_not_come_up_is_told_and_tried_again(node):
    node.comes_up = False
    with pytest.raises(FastpathError, match="Job for containerd.service failed"):
        run(node, LAB)
    node.comes_up = True
    assert actions(run(node, LAB)) == [("restart_containerd", "containerd.service")]
    assert not run(node, LAB).changed


def test_a_reboot_is_a_restart(node):
    node.comes_up = False
    with pytest.raises(FastpathError):
        run(node, LAB)
    node.boot(2)
    assert not run(node, LAB).changed


@pytest.mark.parametrize(("start", "spec"), [("", LAB), (DEBIAN, LOCKS), (DOCKER, LAB)])
def test_cut_off_anywhere(tmp_path, start, spec):
    cut = 0
    while True:
        node = ContainerdNode(tmp_path / f"{cut}")
        if start:
            node.put(CONFIG, start)
        before = node.tree()
        with node.cut_off(cut) as power:
            run(node, spec)
        run(node, spec)
        assert not run(node, spec).changed
        assert cri(node)["sandbox_image"] == LAB["sandbox_image"] and node.loaded == node.text(CONFIG)
        with node.cut_off(cut) as teardown:
            run(node)
        if teardown.gone:
            run(node)
        assert node.tree() == before
        assert node.loaded in (start, "" if not power.gone else start)
        if not power.gone:
            break
        cut += 1
    assert cut > 3


def limit(node):
    checks = verify(ContainerRuntimeConcern(node), LOCKS)
    return next(check for check in checks if check.id == "container_runtime.locked_memory")


def test_containers_may_lock_their_memory(node):
    run(node, LAB)
    start = node.tree()
    assert actions(run(node, LOCKS))[1:] == [
        ("write_file", "/etc/systemd/system/containerd.service.d/fastpath.conf"),
        ("restart_containerd", "containerd.service"),
    ]
    assert limit(node).ok and limit(node).seen == "unlimited"
    assert not run(node, LOCKS).changed
    sized = {**LOCKS, "locked_memory": "64G"}
    run(node, sized)
    assert not limit(node).ok and limit(node).seen == str(64 << 30)
    assert all(check.ok for check in verify(ContainerRuntimeConcern(node), sized))
    plan = run(node, LAB)
    assert [action for action, _target in actions(plan)] == ["save_desired", "remove_file", "restart_containerd"]
    assert node.tree() == start
    assert len(node.commands) == 4


def test_a_limit_of_somebody_else_is_told(node):
    run(node, LOCKS)
    node.unit = "[Service]\nLimitMEMLOCK=65536\n"
    node.limited()
    assert not limit(node).ok and limit(node).seen == "65536"
    node.put("proc/4711/limits", "")
    assert limit(node).seen == "not known"


def test_a_drop_in_that_was_there_comes_back(node):
    node.put(DROP_IN, "[Service]\nLimitMEMLOCK=1048576\n")
    node.boot(2)
    before = node.tree()
    run(node, LOCKS)
    run(node)
    assert node.tree() == before


def test_verify_looks_at_the_effect(node):
    run(node, LAB)
    checks = verify(ContainerRuntimeConcern(node), LAB)
    assert "container_runtime.locked_memory" not in {check.id for check in checks}
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]
    node.loaded = DEBIAN
    node.active = False
    node.said["kubelet"] = "Kubernetes v1.37.0"
    node.put(HOSTS.format("10.77.0.1:5000"), "")
    failed = {check.id for check in verify(ContainerRuntimeConcern(node), LAB) if not check.ok}
    assert failed == {
        f"container_runtime.{name}"
        for name in ("version", "active", "registries", "systemd_cgroup", "runtime_type", "sandbox_image", "certs_dir")
    }
    node.loaded = "words"
    assert "container_runtime.readable" in {
        check.id for check in verify(ContainerRuntimeConcern(node), LAB) if not check.ok
    }


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "systemd_cgroup": st.booleans(),
        "sandbox_image": st.sampled_from(["r.example.com/pause:3.9", "r.example.com/pause:3.10"]),
        "cni_bin_dir": st.sampled_from(["/opt/cni/bin", "/usr/lib/cni"]),
        "locked_memory": st.sampled_from(["unlimited", "64G", ""]),
        "registries": st.lists(
            st.sampled_from(["docker.io", "r.example.com:5000", "_default"]), unique=True, max_size=3
        ).map(lambda names: [{"name": name, "mirrors": [f"https://m.example.com/{name}"]} for name in names]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(specs=st.lists(SPECS, min_size=1, max_size=3), start=st.sampled_from(["", DEBIAN, DOCKER]), new=st.booleans())
def test_whatever_is_wanted_in_turn(tmp_path_factory, specs, start, new):
    node = ContainerdNode(tmp_path_factory.mktemp("node"), NEW if new else OLD)
    if start:
        node.put(CONFIG, start)
    before = node.tree()
    for spec in specs:
        run(node, spec)
        assert not run(node, spec).changed
        assert all(check.ok for check in verify(ContainerRuntimeConcern(node), spec))
        tomllib.loads(node.text(CONFIG) or "")
    run(node)
    assert node.tree() == before

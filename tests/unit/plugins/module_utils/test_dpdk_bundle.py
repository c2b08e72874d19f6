# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DPDK on a node as a bundle that was built elsewhere: brought, switched, left again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import flags_of
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk import (
    MODULES_LOAD,
    PROFILE,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_spec import parse_dpdk
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.tests.unit.dpdk_node import (
    SOURCE,
    DpdkNode,
    actions,
    apply,
    make_bundle,
    ship,
    teardown,
)


@pytest.fixture
def node(tmp_path):
    return DpdkNode(tmp_path / "node")


def test_a_bundle_is_brought_only_if_it_is_needed(node, tmp_path):
    bundle = make_bundle(tmp_path)
    before = node.files()
    asked = apply(node, SOURCE, bundle=bundle[0].as_json())
    assert asked["archive_needed"]
    assert node.files() == before
    result = ship(node, bundle)
    assert actions(result)[:4] == ["save_desired", "install_packages", "unpack_bundle", "switch_bundle"]
    assert "libnuma1" in node.packages and "dpdk" not in node.packages
    again = apply(node, SOURCE, bundle=bundle[0].as_json())
    assert (again["changed"], again["archive_needed"]) == (False, False)


def test_lists_of_archives_are_read_for_the_libraries_of_a_bundle(node, tmp_path):
    node.known = False
    bundle = make_bundle(tmp_path)
    dry = apply(node, SOURCE, dry_run=True, bundle=bundle[0].as_json())
    assert node.commands == []
    assert dry["operations"] == ship(node, bundle)["operations"]
    assert node.commands[:2] == [["update"], ["install", "libnuma1", "pciutils"]]


def test_commands_and_pkg_config_lead_to_the_current_bundle(node, tmp_path):
    ship(node, make_bundle(tmp_path))
    links = node.folder / "usr/local/bin"
    assert (links / "dpdk-testpmd").readlink() == Path("/opt/fastpath/dpdk/current/bin/dpdk-testpmd")
    assert (links / "dpdk-devbind").readlink() == Path("/opt/fastpath/dpdk/current/bin/dpdk-devbind.py")
    profile = node.host.read(PROFILE)
    assert "PKG_CONFIG_PATH=/opt/fastpath/dpdk/current/lib/pkgconfig" in profile
    assert node.host.read("/opt/fastpath/dpdk/current/lib/pkgconfig/libdpdk.pc") == "a" * 16


def test_check_mode_of_a_bundle(node, tmp_path):
    manifest, archive = make_bundle(tmp_path)
    before = node.files()
    dry = apply(node, SOURCE, dry_run=True, bundle=manifest.as_json())
    assert node.files() == before
    real = apply(node, SOURCE, bundle=manifest.as_json(), archive=archive)
    assert dry["operations"] == real["operations"]
    assert dry["changed"] is True


def test_check_mode_before_the_bundle_is_built(node, tmp_path):
    manifest = replace(make_bundle(tmp_path)[0], glibc="", sha256="", packages=(), commands=())
    assert apply(node, SOURCE, dry_run=True, bundle=manifest.as_json())["changed"]


def test_forward_and_back_again(node, tmp_path):
    first, second = make_bundle(tmp_path), make_bundle(tmp_path, "b" * 16)
    ship(node, first)
    ship(node, second)
    assert node.host.read("/opt/fastpath/dpdk/current/bin/dpdk-testpmd") == "b" * 16
    back = apply(node, SOURCE, bundle=first[0].as_json())
    assert not back["archive_needed"]
    assert actions(back) == ["save_desired", "switch_bundle"]
    assert node.host.read("/opt/fastpath/dpdk/current/bin/dpdk-testpmd") == "a" * 16


def test_a_bundle_that_does_not_start_never_becomes_current(node, tmp_path):
    ship(node, make_bundle(tmp_path))
    node.eal = Completed(132, "", "EAL: Error - exiting with code: 1\n  Cause: unsupported cpu")
    with pytest.raises(FastpathError, match="stays current"):
        ship(node, make_bundle(tmp_path, "b" * 16))
    assert node.host.link_name("/opt/fastpath/dpdk/current") == "24.11.6-" + "a" * 16
    node.eal = Completed(0, "", "")
    ship(node, make_bundle(tmp_path, "c" * 16))
    assert node.host.link_name("/opt/fastpath/dpdk/current") == "24.11.6-" + "c" * 16


@pytest.mark.parametrize(
    "changes",
    [{"cpu_flags": flags_of("x86-64-v4")}, {"glibc": "2.99"}, {"os_id": "ubuntu"}, {"architecture": "aarch64"}],
)
def test_a_bundle_that_does_not_fit_is_refused_before_it_is_asked_for(node, tmp_path, changes):
    manifest, _archive = make_bundle(tmp_path, **changes)
    before = node.files()
    with pytest.raises(Refused):
        apply(node, SOURCE, bundle=manifest.as_json())
    assert node.files() == before


def test_source_without_a_bundle(node):
    with pytest.raises(Refused, match="needs a bundle"):
        apply(node, SOURCE)


def test_from_source_to_packages_and_back(node, tmp_path):
    bundle = make_bundle(tmp_path)
    before, packages = node.files(), set(node.packages)
    ship(node, bundle)
    apply(node, {"provider": "packages"})
    assert not node.host.exists("/opt/fastpath")
    assert not node.host.exists(PROFILE)
    assert sorted(path.name for path in (node.folder / "usr/local/bin").iterdir()) == ["dpdk-devbind"]
    ship(node, bundle)
    assert node.host.exists("/opt/fastpath/dpdk/current/bin/dpdk-testpmd")
    teardown(node)
    assert (node.files(), node.packages) == (before, packages)


def test_a_command_of_somebody_else_is_not_replaced(node, tmp_path):
    node.put("usr/local/bin/dpdk-testpmd", "mine")
    with pytest.raises(Refused) as refused:
        ship(node, make_bundle(tmp_path))
    assert "/usr/local/bin/dpdk-testpmd" in refused.value.message
    assert node.host.read("/usr/local/bin/dpdk-testpmd") == "mine"


def test_former_files_come_back(node):
    node.put(MODULES_LOAD[1:], "mine\n")
    apply(node)
    teardown(node)
    assert node.host.read(MODULES_LOAD) == "mine\n"


def test_a_desired_state_that_a_later_run_can_read(node, tmp_path):
    ship(node, make_bundle(tmp_path))
    desired = json.loads(node.host.read("/etc/fastpath/dpdk.json"))
    assert parse_dpdk(desired).bundle == make_bundle(tmp_path / "again")[0]

# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which packages a node needs, and a small model of apt and the alternatives."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_packages as packages
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_packages_node import OvsPackagesConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import parse_ovs
from ansible_collections.nfv.fastpath.plugins.module_utils._store import Store
from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import FakeOvsdb, FakeStream

PLAIN = "/usr/lib/openvswitch-switch/ovs-vswitchd"
CANDIDATE = (
    "Package: openvswitch-switch-dpdk\nVersion: 3.5.0-1\nDepends: libc6, librte-eal25 (>= 24), librte-ethdev25\n"
)


class AptNode(Host):
    """``installed`` by name; apt-get brings SWITCH along with its sibling, as a dependency."""

    def __init__(self, root):
        super().__init__(str(root), self._answer)
        self.tree = root
        self.installed = {"libc6": "1"}
        self.lists = True
        self.selected = (PLAIN, True)
        self.calls = []
        self.cut = False
        self.put("usr/bin/dpkg-query")
        self.device("0000:81:00.0", "igb", "8086:10C9")
        self.device("0000:81:10.0", "vfio-pci", "8086:10CA")
        self.database = FakeOvsdb()

    def put(self, path, text=""):
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_text(text)

    def device(self, address, driver, ids):
        folder = f"sys/bus/pci/devices/{address}"
        self.put(f"{folder}/uevent", f"DRIVER={driver}\nPCI_CLASS=20000\nPCI_ID={ids}\n")

    def _answer(self, argv, timeout, stdin):
        self.calls.append(tuple(argv))
        if argv[0] == "dpkg-query":
            versions = "Version" in argv[-1]
            lines = (f"{name}\tinstalled" + f"\t{ver}" * versions for name, ver in self.installed.items())
            return Completed(0, "".join(f"{line}\n" for line in lines), "")
        if argv[0] == "apt-cache":
            return Completed(0, CANDIDATE, "") if self.lists else Completed(100, "", "N: Unable to locate package")
        if argv[0] == "update-alternatives":
            return self._alternatives(argv)
        if argv[0] == "env":
            return self._apt(argv[argv.index("Dpkg::Options::=--force-confold") + 1 :])
        if argv[0] == "systemctl":
            return Completed(0, "", "")
        raise AssertionError(argv)

    def connect(self, path, timeout):
        return FakeStream(self.database.answer)

    def _alternatives(self, argv):
        if packages.SWITCH not in self.installed:
            return Completed(2, "", "error: no alternatives for ovs-vswitchd")
        if argv[1] == "--query":
            status = "auto" if self.selected[1] else "manual"
            return Completed(
                0, f"Name: ovs-vswitchd\nStatus: {status}\nBest: {PLAIN}\nValue: {self.selected[0]}\n\nx: y\n", ""
            )
        self.selected = (PLAIN, True) if argv[1] == "--auto" else (argv[3], False)
        return Completed(0, "", "")

    def _apt(self, argv):
        verb, *names = [word for word in argv if not word.startswith(("-", "Dir::"))]
        if "--print-uris" in argv:
            wanted = {name.split("=")[0] for name in names} | {packages.SWITCH, "libc6"}
            missing = sorted(wanted - set(self.installed) | {"libc6"})
            return Completed(
                0, "".join(f"'http://h/{name}_3.5.deb' {name}_3.5.deb 1 MD5Sum:a\n" for name in missing), ""
            )
        if verb == "update":
            self.lists = True
        elif verb == "install":
            assert {"--no-install-recommends", "-y"} <= set(argv)
            for name in names:
                self.installed[name.split("=")[0]] = "3.5.0-1"
            self.installed.setdefault(packages.SWITCH, "3.5.0-1")
            self.database_of_debian("new")
            if self.cut:
                raise KeyboardInterrupt
        elif verb == "purge":
            for name in names:
                del self.installed[name]
            if packages.SWITCH in names:
                os.unlink(self.tree / "etc/openvswitch/conf.db")
                os.unlink(self.tree / "run/openvswitch/db.sock")
        return Completed(0, "", "")

    def database_of_debian(self, content):
        """The package keeps a database that is there, and links to it. Purging it removes the link alone."""
        link = self.tree / "etc/openvswitch/conf.db"
        if not (self.tree / "var/lib/openvswitch/conf.db").exists():
            self.put("var/lib/openvswitch/conf.db", content)
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to("../../var/lib/openvswitch/conf.db")
        self.put("run/openvswitch/db.sock")

    def had_switch(self):
        """Open vSwitch without DPDK was there before."""
        self.installed[packages.SWITCH] = "3.4.0-1"
        self.database_of_debian("theirs")


@pytest.fixture
def node(tmp_path):
    return AptNode(tmp_path)


def apply(node, ovs=None, **options):
    return converge(
        OvsPackagesConcern(node), Request({"ovs": ovs, "upgrade": options.pop("upgrade", False)}, **options)
    )


def teardown(node, remove):
    return converge(OvsPackagesConcern(node, remove=remove), Request(present=False, disruption_ok=True))


def installs(node):
    return [
        call[call.index("install") + 1 :] for call in node.calls if "install" in call and "--print-uris" not in call
    ]


def test_what_packages_do_not_depend_on_changes_nothing(node):
    apply(node, {"other_config": {"max-idle": 10000}})
    assert not apply(node, {"other_config": {"max-idle": 20000}}).changed
    kept = OvsPackagesConcern(node).store.desired()
    assert not converge(OvsPackagesConcern(node), Request(kept)).changed


def test_what_the_nics_need_is_installed_and_selected(node):
    assert apply(node).changed
    assert installs(node) == [
        (
            "openvswitch-switch-dpdk",
            "librte-bus-pci25",
            "librte-bus-vdev25",
            "librte-mempool-ring25",
            "librte-net-e1000-25",
        )
    ]
    assert node.selected == (packages.DPDK_PROGRAM, False)
    assert [check.ok for check in verify(OvsPackagesConcern(node), {})] == [True, True]


def test_a_second_run_does_nothing(node):
    apply(node)
    node.calls.clear()
    assert not apply(node).changed
    assert {call[0] for call in node.calls} <= {"dpkg-query", "apt-cache", "update-alternatives"}


def test_check_mode_says_the_same(node):
    dry = apply(node, dry_run=True)
    assert installs(node) == []
    assert apply(node).operations == dry.operations


def test_package_lists_are_fetched_where_they_are_absent(node):
    node.lists = False
    plan = apply(node)
    assert [step.action for step in plan.operations][1:] == [
        "update_package_lists",
        "install_packages",
        "select_program",
    ]
    assert not apply(node).changed


def test_virtual_devices_need_plugins(node):
    devargs = ["net_null0", "net_af_packet1,iface=x", "net_virtio_user0,path=/x", "eth_af_packet0,iface=y"]
    ports = [{"name": f"p{n}", "type": "dpdk", "options": {"dpdk-devargs": text}} for n, text in enumerate(devargs)]
    ovs = {"bridges": [{"name": "b", "ports": [*ports, {"name": "d", "type": "dpdk", "pci": "0000:81:10.0"}]}]}
    assert packages.virtual_plugins(parse_ovs(ovs)[0]) == ("net-af-packet", "net-null", "net-virtio")
    apply(node, ovs)
    assert {"librte-net-null25", "librte-net-af-packet25", "librte-net-virtio25"} < set(installs(node)[0])


def test_teardown_without_removal_selects_the_former_program(node):
    node.had_switch()
    apply(node)
    teardown(node, remove=False)
    assert node.selected == (PLAIN, True)
    assert packages.WITH_DPDK in node.installed


def test_teardown_with_removal_leaves_nothing(node):
    before = dict(node.installed)
    apply(node)
    teardown(node, remove=True)
    assert node.installed == before
    assert not (node.tree / "etc/openvswitch").exists()
    assert not (node.tree / "var/lib/openvswitch").exists()
    assert not teardown(node, remove=True).changed


def test_a_database_of_former_times_stays(node):
    node.put("var/lib/openvswitch/conf.db", "theirs")
    apply(node)
    teardown(node, remove=True)
    assert (node.tree / "var/lib/openvswitch/conf.db").read_text() == "theirs"
    assert not (node.tree / "etc/openvswitch").exists()


def test_folders_that_a_bundle_of_ours_made_go_as_well(node):
    Store(node, "ovs_bundle").save_record({"made": ["/var/lib/openvswitch"]})
    node.put("var/lib/openvswitch/conf.db", "ours")
    apply(node)
    teardown(node, remove=True)
    assert not (node.tree / "var/lib/openvswitch").exists()


def test_what_was_there_before_is_not_removed(node):
    node.had_switch()
    apply(node)
    teardown(node, remove=True)
    assert packages.SWITCH in node.installed
    assert packages.WITH_DPDK not in node.installed
    assert (node.tree / "etc/openvswitch").exists()


def test_the_database_is_copied_before_packages_change(node):
    node.had_switch()
    apply(node)
    assert (node.tree / "var/lib/fastpath/openvswitch/conf.db.3.4.0-1").read_text() == "theirs"
    teardown(node, remove=False)
    assert not (node.tree / "var/lib/fastpath/openvswitch").exists()


def test_an_upgrade_is_asked_for(node):
    apply(node)
    node.installed[packages.WITH_DPDK] = "3.4.9-1"
    assert not apply(node).changed
    plan = apply(node, upgrade=True)
    assert "openvswitch-switch-dpdk=3.5.0-1" in installs(node)[-1]
    assert [step.action for step in plan.operations if step.disruptive] == []
    assert not apply(node, upgrade=True).changed


def test_an_upgrade_under_ports_is_disruptive():
    state = packages.PackagesState(
        installed={packages.SWITCH: "1", packages.WITH_DPDK: "1"}, candidate=("2", "25"), ports=("dpdk0",)
    )
    (step,) = packages.plan(state, packages.PackagesSpec(upgrade=True)).disruptive
    assert step.reason == "dpdk0 forward nothing while it starts anew"


def test_a_run_that_is_cut_off_still_knows_what_was_there(node):
    before = dict(node.installed)
    node.cut = True
    with pytest.raises(KeyboardInterrupt):
        apply(node)
    node.cut = False
    apply(node)
    teardown(node, remove=True)
    assert node.installed == before


def test_without_a_source_for_the_package(node):
    node.lists = False
    node._apt = lambda argv: Completed(0, "", "")
    with pytest.raises(FastpathError, match="have no openvswitch-switch-dpdk: add a source"):
        apply(node)


def test_other_distributions_are_refused(node):
    os.unlink(node.tree / "usr/bin/dpkg-query")
    with pytest.raises(Refused, match="is for Debian and Ubuntu"):
        apply(node)


def test_teardown_restarts_what_runs_with_the_other_program():
    state = packages.PackagesState(
        installed={packages.SWITCH: "1"},
        alternative=packages.Alternative(packages.DPDK_PROGRAM, False),
        running_program=packages.DPDK_PROGRAM,
        ports=("theirs",),
        record={"alternative": {"value": PLAIN, "automatic": True}},
    )
    steps = packages.plan_teardown(state, False).operations
    assert [(step.action, step.disruptive) for step in steps] == [("select_program", False), ("restart_vswitchd", True)]
    assert packages.plan_teardown(replace(state, running_program=PLAIN), False).disruptive == ()


def test_plugins_of_another_abi_do_not_help():
    names = ["librte-net-e1000-25", "librte-net-ice24", "librte-bus-pci25"]
    assert packages.installed_plugins(names, "25") == {"net-e1000", "bus-pci"}
    assert packages.installed_plugins(names, None) == {"net-e1000", "net-ice", "bus-pci"}


def test_a_nic_in_the_hands_of_vfio_counts(node):
    node.device("0000:82:02.0", "vfio-pci", "15B3:1018")
    apply(node)
    assert "librte-net-mlx5-25" in installs(node)[0]


def test_the_record_is_json(node):
    apply(node)
    record = json.loads((node.tree / "var/lib/fastpath/ovs_packages.json").read_text())
    assert set(record) == {"alternative", "made", "packages"}

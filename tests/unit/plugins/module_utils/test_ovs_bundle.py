# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch from a bundle, and the way back to packages, on a model of systemd and apt."""

from __future__ import annotations

import ast
import os
from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_bundle as planner
from ansible_collections.nfv.fastpath.plugins.module_utils import _zipapp
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_node import OvsBundleConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_task import ovs_bundle_result
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_units import ovs_links, ovs_units
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import Row
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_discovery import BUILT, read_service, with_versions
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_task import ovs_packages_result
from ansible_collections.nfv.fastpath.tests.unit.dpdk_node import DpdkNode, make_bundle
from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import FakeOvsdb, OvsdbHost

DAEMONS = {"ovsdb-server.service": "ovsdb-server", "ovs-vswitchd.service": "ovs-vswitchd"}
PIDS = {"ovsdb-server": 41, "ovs-vswitchd": 42}
CANDIDATE = "Package: openvswitch-switch-dpdk\nVersion: 3.5.0-1\nDepends: librte-eal25\n"
SOURCE, ABSENT = {"state": "present"}, {"state": "absent"}


class OvsBundleNode(DpdkNode):
    """systemd starts what its units of the last daemon-reload say. ``broken``: built daemons do not start."""

    def __init__(self, folder):
        super().__init__(folder)
        self.database = FakeOvsdb()
        self.broken = False
        self.cut_at = None
        self.units_seen = False
        self.selected = ("/usr/lib/openvswitch-switch/ovs-vswitchd", True)
        self.put("usr/bin/dpkg-query", "")

    @property
    def host(self):
        return OvsdbHost(str(self.folder), self.run, self.database)

    def run(self, argv, timeout, stdin):
        if argv[0].endswith("sbin/ovs-vswitchd"):
            self.commands.append([argv[0], argv[1]])
            return Completed(1, "", "no such library") if self.broken else Completed(0, "(Open vSwitch) 3.6.3\n", "")
        return super().run(argv, timeout, stdin)

    def dpkg_query(self, argv):
        if "Version" not in argv[-1]:
            return super().dpkg_query(argv)
        return Completed(0, "".join(f"{name}\tinstalled\t3.5.0-1\n" for name in sorted(self.packages)), "")

    def apt_cache(self, argv):
        return Completed(0, CANDIDATE, "") if "openvswitch-switch-dpdk" in argv else super().apt_cache(argv)

    def apt(self, argv):
        done = super().apt(argv)
        if "openvswitch-switch-dpdk" in self.packages:
            self.had_packages()
        return done

    def update_alternatives(self, argv):
        if argv[1] == "--set":
            self.selected = (argv[3], False)
        elif argv[1] == "--auto":
            self.selected = ("/usr/lib/openvswitch-switch/ovs-vswitchd", True)
        elif "openvswitch-switch" not in self.packages:
            return Completed(2, "", "no alternatives")
        status = "auto" if self.selected[1] else "manual"
        return Completed(0, f"Status: {status}\nValue: {self.selected[0]}\n", "")

    def had_packages(self):
        self.packages |= {"openvswitch-switch", "openvswitch-switch-dpdk"}
        for name in DAEMONS.values():
            self.put(f"usr/sbin/{name}", "")

    def systemctl(self, argv):
        self.commands.append(argv)
        if argv[1] == self.cut_at:
            raise KeyboardInterrupt
        if argv[1] == "daemon-reload":
            self.units_seen = all((self.folder / path[1:]).exists() for path in ovs_units())
        elif argv[1] == "stop":
            for unit in argv[2:]:
                os.unlink(self.folder / f"run/openvswitch/{DAEMONS[unit]}.pid")
        elif argv[1] == "start":
            self.start(*argv[2:])
        return Completed(0, "", "")

    def start(self, *units):
        for unit in units:
            name = DAEMONS[unit]
            current = self.folder / "opt/fastpath/openvswitch/current"
            folder = f"/opt/fastpath/openvswitch/{os.readlink(current)}" if self.units_seen else "/usr"
            self.put(f"run/openvswitch/{name}.pid", f"{PIDS[name]}\n")
            self.put(f"proc/{PIDS[name]}/comm", f"{name}\n")
            exe = self.folder / f"proc/{PIDS[name]}/exe"
            if os.path.lexists(exe):
                exe.unlink()
            exe.symlink_to(f"{folder}/sbin/{name}")
            self.put("run/openvswitch/db.sock", "")
            self.put("etc/openvswitch/conf.db", "content")

    def program(self, name="ovs-vswitchd"):
        return os.readlink(self.folder / f"proc/{PIDS[name]}/exe")

    def verbs(self):
        return [command[1] for command in self.commands if command[0] == "systemctl"]


@pytest.fixture
def node(tmp_path):
    return OvsBundleNode(tmp_path / "node")


@pytest.fixture
def with_ports(monkeypatch):
    monkeypatch.setattr(OvsBundleConcern, "_ports", lambda concern, forwarding: ("dpdk0",) if forwarding else ())


def built(tmp_path, key="a" * 16, **changes):
    values = {"name": "openvswitch", "version": "3.6.3", "commands": (), "options": {"dpdk": "24.11.6"}, **changes}
    return make_bundle(tmp_path, key, files=("sbin/ovs-vswitchd", "bin/ovs-vsctl"), **values)


def apply(node, bundle, archive, **options):
    wanted = Request({"bundle": bundle.as_json()}, disruption_ok=options.pop("disruption_ok", False), **options)
    return converge(OvsBundleConcern(node.host, archive), wanted)


def teardown(node, consent=True):
    return converge(OvsBundleConcern(node.host), Request(present=False, disruption_ok=consent))


def actions(plan):
    return [step.action for step in plan.operations if step.action not in ("save_desired", "forget")]


def test_a_fresh_node_gets_units_but_nothing_is_started_yet(node, tmp_path):
    plan = apply(node, *built(tmp_path))
    assert actions(plan)[:3] == ["install_packages", "unpack_bundle", "switch_bundle"]
    assert node.verbs() == ["daemon-reload"]
    wants = node.folder / "etc/systemd/system/multi-user.target.wants/ovs-vswitchd.service"
    assert os.readlink(wants) == "/etc/systemd/system/ovs-vswitchd.service"
    assert os.readlink(node.folder / "usr/local/bin/ovs-vsctl") == ovs_links()["/usr/local/bin/ovs-vsctl"]


def test_a_second_run_does_nothing_and_needs_no_archive(node, tmp_path):
    bundle, archive = built(tmp_path)
    dry = apply(node, bundle, archive, dry_run=True)
    assert apply(node, bundle, archive).operations == dry.operations
    before, node.commands = node.files(), []
    assert not apply(node, bundle, None).changed
    assert (node.files(), node.commands) == (before, [])


def test_running_packages_give_way_and_come_back(node, tmp_path):
    node.had_packages()
    node.start(*DAEMONS)
    before = node.files()
    plan = apply(node, *built(tmp_path))
    assert node.program() == f"{built(tmp_path)[0].prefix}/sbin/ovs-vswitchd"
    order = actions(plan)
    assert order.index("stop_daemons") < order.index("backup_database") < order.index("switch_bundle")
    assert order.index("switch_bundle") < order.index("write_file") < order.index("start_daemons")
    backup = f"var/lib/fastpath/openvswitch/conf.db.before-{built(tmp_path)[0].folder}"
    assert (node.folder / backup).read_text() == "content"
    teardown(node)
    assert node.program() == "/usr/sbin/ovs-vswitchd"
    left = {path: text for path, text in node.files().items() if "lib/fastpath/openvswitch" not in path}
    assert left == before
    assert not teardown(node).changed


def test_teardown_of_a_fresh_node_leaves_nothing(node, tmp_path):
    before, packages = node.files(), set(node.packages)
    apply(node, *built(tmp_path))
    node.start(*DAEMONS)
    teardown(node)
    assert "start" not in node.verbs()
    left = {path for path in node.files() if not path.startswith(("proc/4", "var/lib/fastpath/openvswitch"))}
    assert left == set(before)
    assert node.packages == packages


def test_traffic_is_only_taken_away_with_consent(node, tmp_path, with_ports):
    node.start(*DAEMONS)
    before = node.files()
    bundle, archive = built(tmp_path)
    with pytest.raises(FastpathError, match="dpdk0 forward nothing"):
        apply(node, bundle, archive)
    assert node.files() == before
    apply(node, bundle, archive, disruption_ok=True)
    with pytest.raises(FastpathError, match="dpdk0 forward nothing"):
        teardown(node, consent=False)


def test_another_bundle_and_back_without_its_archive(node, tmp_path):
    first, second = built(tmp_path), built(tmp_path, "b" * 16)
    apply(node, *first)
    node.start(*DAEMONS)
    apply(node, *second)
    assert node.program().startswith(second[0].prefix)
    apply(node, first[0], None)
    assert node.program().startswith(first[0].prefix)


def test_what_does_not_start_never_becomes_current(node, tmp_path):
    first = built(tmp_path)
    apply(node, *first)
    node.broken = True
    with pytest.raises(FastpathError, match="no such library"):
        apply(node, *built(tmp_path, "b" * 16))
    assert os.readlink(node.folder / "opt/fastpath/openvswitch/current") == first[0].folder


@pytest.mark.parametrize("verb", ["stop", "start", "daemon-reload"])
def test_a_run_that_is_cut_off_goes_on_and_starts_what_it_stopped(node, tmp_path, verb):
    node.had_packages()
    node.start(*DAEMONS)
    node.cut_at = verb
    with pytest.raises(KeyboardInterrupt):
        apply(node, *built(tmp_path))
    node.cut_at = None
    apply(node, *built(tmp_path))
    assert node.program().startswith("/opt/fastpath/openvswitch/")
    assert not apply(node, *built(tmp_path)).changed
    assert (node.folder / "run/openvswitch/ovs-vswitchd.pid").exists()
    teardown(node)
    assert node.program() == "/usr/sbin/ovs-vswitchd"


def test_all_that_speaks_against_it_comes_at_once(node, tmp_path):
    node.put("usr/local/bin/ovs-vsctl", "theirs")
    before = node.files()
    bundle, archive = built(tmp_path, options={"dpdk": "22.11.1"}, cpu_flags=("avx9000",), glibc="9.9")
    with pytest.raises(Refused) as refused:
        apply(node, bundle, archive)
    text = refused.value.message
    for part in ("avx9000", "glibc 9.9", "made for DPDK 24.11", "/usr/local/bin/ovs-vsctl"):
        assert part in text
    assert node.files() == before


def test_without_a_bundle(node):
    with pytest.raises(Refused, match="needs a bundle"):
        converge(OvsBundleConcern(node.host), Request({"bundle": None}))
    assert (
        not OvsBundleConcern(node.host, looking_ahead=True).plan(OvsBundleConcern(node.host).discover(), None).changed
    )


def test_checks(node, tmp_path):
    bundle, archive = built(tmp_path)
    assert not any(check.ok for check in verify(OvsBundleConcern(node.host), {"bundle": bundle.as_json()}))
    apply(node, bundle, archive)
    node.start(*DAEMONS)
    for spec in ({"bundle": None}, {"bundle": bundle.as_json()}):
        assert all(check.ok for check in verify(OvsBundleConcern(node.host), spec))


def test_the_concern_of_the_database_sees_the_built_program(node, tmp_path):
    bundle, archive = built(tmp_path)
    apply(node, bundle, archive)
    assert BUILT == planner.FOLDER
    service = with_versions(node.host, read_service(node.host, False), Row("root"))
    assert service.installed and service.selected_program == f"{bundle.prefix}/sbin/ovs-vswitchd"
    assert service.ovs_version == "3.6.3"


def test_units_of_others_are_given_back(node, tmp_path):
    unit = "etc/systemd/system/ovs-vswitchd.service"
    node.put(unit, "theirs")
    apply(node, *built(tmp_path))
    assert "built from source" in (node.folder / unit).read_text()
    teardown(node)
    assert (node.folder / unit).read_text() == "theirs"


def test_the_module_asks_for_the_archive_and_refuses_first(node, tmp_path):
    bundle, archive = built(tmp_path)
    params = {**SOURCE, "bundle": bundle.as_json()}
    asked = ovs_bundle_result(node.host, params, False)
    assert (asked["archive_needed"], asked["changed"]) == (True, False)
    assert ovs_bundle_result(node.host, {**params, "archive": archive}, False)["changed"]
    assert not ovs_bundle_result(node.host, params, False)["changed"]
    assert ovs_bundle_result(node.host, ABSENT, False)["changed"]
    assert not ovs_bundle_result(node.host, ABSENT, False)["changed"]


def test_roll_back_to_packages(node, tmp_path):
    apply(node, *built(tmp_path))
    node.start(*DAEMONS)
    params = {**SOURCE, "ovs": {}}
    dry = ovs_packages_result(node.host, params, True)
    assert {"install_packages", "stop_daemons", "start_daemons"} <= {step["action"] for step in dry["operations"]}
    assert ovs_packages_result(node.host, params, False)["operations"] == dry["operations"]
    assert node.program() == "/usr/sbin/ovs-vswitchd"
    assert not (node.folder / "opt/fastpath/openvswitch").exists()
    assert not any((node.folder / path[1:]).exists() for path in ovs_units())
    assert (node.folder / "etc/openvswitch/conf.db").exists()
    assert not ovs_packages_result(node.host, params, False)["changed"]


def test_roll_back_asks_for_consent_before_packages_come(node, tmp_path, with_ports):
    apply(node, *built(tmp_path))
    node.start(*DAEMONS)
    packages = set(node.packages)
    with pytest.raises(FastpathError, match="forward nothing"):
        ovs_packages_result(node.host, SOURCE, False)
    assert node.packages == packages


def test_teardown_of_packages_takes_the_bundle_along(node, tmp_path):
    apply(node, *built(tmp_path))
    assert ovs_packages_result(node.host, ABSENT, False)["changed"]
    assert not (node.folder / "opt/fastpath").exists()
    assert not ovs_packages_result(node.host, ABSENT, False)["changed"]


def test_planning_again_after_applying_is_empty(node, tmp_path):
    bundle, archive = built(tmp_path)
    apply(node, bundle, archive)
    state = OvsBundleConcern(node.host).discover()
    assert planner.plan_ovs_bundle(state, bundle).operations == ()
    deleted = {unit: f"{bundle.prefix}/sbin/{name} (deleted)" for unit, name in DAEMONS.items()}
    again = planner.plan_ovs_bundle(replace(state, running=deleted), bundle)
    assert [step.action for step in again.operations][-1] == "start_daemons"


def loaded_with(module, found=None):
    """What importing a module loads: imports within functions come later, if ever."""
    found = set() if found is None else found
    if module not in found:
        found.add(module)
        for statement in ast.parse(_zipapp.source_of(module)).body:
            if isinstance(statement, ast.ImportFrom) and statement.module.startswith(_zipapp.PACKAGE):
                inner = statement.module.removeprefix(_zipapp.PACKAGE).lstrip(".")
                for name in [inner] if inner else [alias.name for alias in statement.names]:
                    loaded_with(name, found)
    return found


@pytest.mark.parametrize("module", ["_ovs_task", "_ovs_concern"])
def test_who_has_no_bundle_does_not_load_what_it_takes(module):
    loaded = loaded_with(module)
    assert {"_host", "_ovs_discovery", "_hugepages_sysfs"} <= loaded
    assert not {"_bundles", "_artefact_fetch", "_build_manifest", "_ovs_bundle", "_hugepages"} & loaded

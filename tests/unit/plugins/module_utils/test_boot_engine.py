# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine's files and units: there, the same, enabled, and gone when nobody needs them."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _boot_engine, _zipapp
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_engine import BootEngineConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_engine_units import UNITS, wants_path
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.tests.unit.power_cut import power_cut

ENGINE = "usr/libexec/fastpath/fastpath-node"
FOLDER = "etc/systemd/system"
SPEC = {"interpreter": "/usr/bin/python3"}


class Systemd(Host):
    def __init__(self, root: Path) -> None:
        super().__init__(str(root), self._systemd)
        self.tree = root
        self.calls: list[tuple[str, ...]] = []
        self.fails = ""
        for path in ("usr/bin/python3", "proc/sys/kernel/random/boot_id"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("boot-1")
        for target in ("sysinit.target.wants", "multi-user.target.wants"):
            (root / FOLDER / target).mkdir(parents=True)

    def _systemd(self, argv, timeout: float, stdin: str) -> Completed:
        self.calls.append(tuple(argv[1:]))
        if argv[1] == self.fails:
            return Completed(1, "", "Failed to connect to bus")
        if argv[1] in ("enable", "disable"):
            link = self.tree / wants_path(FOLDER, argv[2])
            link.unlink(missing_ok=True)
            if argv[1] == "enable":
                assert (self.tree / FOLDER / argv[2]).exists() and (self.tree / ENGINE).exists()
                link.symlink_to(f"/{FOLDER}/{argv[2]}")
        return Completed(0, "", "")

    def snapshot(self):
        return {
            str(path.relative_to(self.tree)): path.read_bytes() if path.is_file() else path.is_symlink()
            for path in self.tree.rglob("*")
            if not str(path.relative_to(self.tree)).startswith(("run", "var"))
        }


@pytest.fixture
def node(tmp_path):
    return Systemd(tmp_path)


def apply(node, spec=None, **options):
    return converge(BootEngineConcern(node), Request(spec=spec or SPEC, **options))


def teardown(node, **options):
    return converge(BootEngineConcern(node), Request(present=False, **options))


def test_installed_whole(node):
    plan = apply(node)
    assert [(step.action, Path(step.target).name) for step in plan.operations] == [
        ("save_desired", "boot_engine.json"),
        ("write_file", "fastpath-node"),
        ("write_file", "fastpath-hugepages.service"),
        ("write_file", "fastpath-sriov.service"),
        ("write_file", "fastpath-vdpa.service"),
        ("enable_unit", "fastpath-hugepages.service"),
        ("enable_unit", "fastpath-sriov.service"),
        ("enable_unit", "fastpath-vdpa.service"),
    ]
    assert (node.tree / ENGINE).read_bytes() == _zipapp.pack(_zipapp.collect(), "/usr/bin/python3")
    assert stat.S_IMODE((node.tree / ENGINE).stat().st_mode) == 0o755
    assert node.calls == [("enable", unit) for unit in UNITS]


def test_again_changes_nothing(node):
    apply(node)
    before = {path: path.lstat().st_mtime_ns for path in node.tree.rglob("*") if path.name != "fastpath.lock"}
    node.calls.clear()
    assert not apply(node).changed
    assert node.calls == []
    assert before == {path: path.lstat().st_mtime_ns for path in node.tree.rglob("*") if path.name != "fastpath.lock"}


def test_check_mode_tells_what_the_run_does(node):
    before = node.snapshot()
    foretold = apply(node, dry_run=True)
    assert node.snapshot() == before and node.calls == []
    assert foretold == apply(node)
    foretold = teardown(node, dry_run=True)
    assert foretold == teardown(node)


@pytest.mark.parametrize("path", [ENGINE, f"{FOLDER}/fastpath-sriov.service"])
def test_a_changed_file_is_put_right(node, path):
    apply(node)
    right = (node.tree / path).read_bytes()
    (node.tree / path).write_text("something else")
    node.calls.clear()
    plan = apply(node)
    assert [step.target for step in plan.operations] == [f"/{path}"]
    assert (node.tree / path).read_bytes() == right
    assert node.calls == [("daemon-reload",)]


def test_a_changed_mode_is_put_right(node):
    apply(node)
    (node.tree / ENGINE).chmod(0o600)
    apply(node)
    assert stat.S_IMODE((node.tree / ENGINE).stat().st_mode) == 0o755


def test_a_disabled_unit_is_enabled(node):
    apply(node)
    (node.tree / wants_path(FOLDER, "fastpath-sriov.service")).unlink()
    assert [step.action for step in apply(node).operations] == ["enable_unit"]


def test_another_interpreter(node):
    (node.tree / "usr/bin/python3.12").touch()
    apply(node)
    apply(node, {"interpreter": "/usr/bin/python3.12"})
    assert (node.tree / ENGINE).read_bytes().startswith(b"#!/usr/bin/python3.12 -IS\n")


@pytest.mark.parametrize("interpreter", ["/usr/bin/python9", "python3", "/usr/bin/python3 -x", 3])
def test_an_interpreter_that_cannot_be(node, interpreter):
    before = node.snapshot()
    with pytest.raises(Refused, match="boot_engine_interpreter"):
        apply(node, {"interpreter": interpreter})
    assert node.snapshot() == before


def test_teardown_leaves_nothing(node):
    before = node.snapshot()
    apply(node)
    node.calls.clear()
    teardown(node)
    assert node.snapshot() == before
    assert node.calls == [
        ("disable", "fastpath-hugepages.service"),
        ("disable", "fastpath-sriov.service"),
        ("disable", "fastpath-vdpa.service"),
        ("daemon-reload",),
    ]
    assert not teardown(node).changed


def test_folders_that_were_there_stay(node):
    (node.tree / "usr/libexec").mkdir()
    apply(node)
    teardown(node)
    assert (node.tree / "usr/libexec").exists() and not (node.tree / "usr/libexec/fastpath").exists()


def test_a_failing_systemd_leaves_what_the_next_run_finishes(node):
    before = node.snapshot()
    node.fails = "enable"
    with pytest.raises(FastpathError, match="Failed to connect to bus"):
        apply(node)
    node.fails = ""
    assert [step.action for step in apply(node).operations] == ["enable_unit"] * 3
    node.fails = "disable"
    with pytest.raises(FastpathError):
        teardown(node)
    node.fails = ""
    teardown(node)
    assert node.snapshot() == before


@pytest.mark.parametrize("step", range(24))
def test_power_cut_between_any_two_writes(node, step):
    before = node.snapshot()
    with power_cut(node, step, "write_file", "remove", "must_run"):
        apply(node)
        teardown(node)
    apply(node)
    assert all(check.ok for check in verify(BootEngineConcern(node), SPEC))
    teardown(node)
    assert node.snapshot() == before


def test_who_needs_the_engine(node):
    concern = BootEngineConcern(node)
    assert concern.needed_by() == []
    apply(node)
    assert concern.needed_by() == []
    (node.tree / "etc/fastpath/sriov.json").write_text("[]")
    (node.tree / "etc/fastpath/.fastpath-x").write_text("")
    # No unit of ours brings them at boot.
    (node.tree / "etc/fastpath/cni_plugins.json").write_text("{}")
    assert concern.needed_by() == ["sriov"]


def test_verify(node):
    found = verify(BootEngineConcern(node), SPEC)
    assert [(check.id, check.ok) for check in found] == [("boot_engine.file", False)] * 4 + [
        ("boot_engine.enabled", False)
    ] * 3
    apply(node)
    assert all(check.ok for check in verify(BootEngineConcern(node), SPEC))


@pytest.mark.parametrize(
    ("boot", "ok", "passes"), [("boot-1", False, False), ("boot-0", False, True), ("boot-1", True, True)]
)
def test_verify_tells_of_this_boot(node, boot, ok, passes):
    apply(node)
    (node.tree / "etc/fastpath/hugepages.json").write_text("[]")
    status = {"concern": "hugepages", "boot_id": boot, "ok": ok, "error": "" if ok else "No memory."}
    node.write_file("/run/fastpath/hugepages.json", json.dumps(status))
    (check,) = [check for check in verify(BootEngineConcern(node), SPEC) if check.id == "boot_engine.boot"]
    assert check.ok is passes
    assert check.seen == ("" if passes else "No memory.")


def sections(unit):
    parser = configparser.RawConfigParser(strict=True, delimiters=("=",))
    parser.optionxform = str
    parser.read_string(UNITS[unit])
    return parser


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_bounded_conditional_and_required_by_nobody(unit):
    parsed = sections(unit)
    concern = re.match(r"fastpath-(\w+)\.service", unit).group(1)
    assert parsed["Unit"]["ConditionPathExists"] == f"/etc/fastpath/{concern}.json"
    assert parsed["Service"]["ExecStart"].split()[:2] == [f"/{ENGINE}", "apply"]
    assert parsed["Service"]["ExecStart"].endswith(f" {concern}")
    assert 0 < int(parsed["Service"]["TimeoutStartSec"]) <= 180
    assert "kubelet.service" in parsed["Unit"]["Before"].split()
    assert not {"Requires", "RequiredBy", "OnFailure"} & {*parsed["Unit"], *parsed["Install"]}


@pytest.mark.parametrize("name", ["sriov", "vdpa"])
def test_interfaces_are_there_before_the_network(name):
    unit = sections(f"fastpath-{name}.service")["Unit"]
    assert "network-pre.target" in unit["Before"].split() and unit["Wants"] == "network-pre.target"


def test_vdpa_devices_come_after_their_vfs():
    assert "fastpath-sriov.service" in sections("fastpath-vdpa.service")["Unit"]["After"].split()


@pytest.mark.parametrize("name", ["sriov", "vdpa"])
def test_the_wait_ends_before_systemd_loses_patience(name):
    service = sections(f"fastpath-{name}.service")["Service"]
    waits = float(re.search(r"--wait (\d+)", service["ExecStart"]).group(1))
    assert waits * 2 < float(service["TimeoutStartSec"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_finds_nothing_wrong(tmp_path):
    for name, text in UNITS.items():
        (tmp_path / name).write_text(text.replace(_boot_engine.ENGINE_PATH, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

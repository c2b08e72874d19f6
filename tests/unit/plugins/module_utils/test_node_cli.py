# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``fastpath-node`` as systemd and people call it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _concerns, _node_cli
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan


class Bulbs(Concern):
    """Turns bulbs on: a file each below /bulbs. A bulb may be missing at first, or broken for good."""

    name = "bulbs"
    appears_after = 0
    flickers = 0

    def parse(self, spec):
        return spec

    def discover(self):
        return {name: self.host.read(f"/bulbs/{name}") for name in self.host.listdir("/bulbs")}

    def plan(self, current, desired):
        missing = [name for name in desired if name not in current]
        if missing:
            Bulbs.appears_after -= 1
            if Bulbs.appears_after <= 0:
                self.host.write_file(f"/bulbs/{missing[0]}", "off")
            raise Refused([Problem("bulbs", name, "is not there") for name in missing])
        return Plan(tuple(Operation("turn", name, "off", "on") for name in desired if current[name] == "off"))

    def record(self, current, plan):
        return {}

    def perform(self, operation):
        if operation.target == "broken":
            raise FastpathError("The bulb is broken.", bulb="broken")
        if operation.target == "flickering" and Bulbs.flickers:
            Bulbs.flickers -= 1
            return
        if operation.target == "stuck":
            raise OSError(5, "Input/output error", "/bulbs/stuck")
        self.host.write_file(f"/bulbs/{operation.target}", "on")

    def check(self, current, desired):
        return [Check("bulbs.on", "bulbs", name, "on", current.get(name), f"Turn {name} on.") for name in desired]


class Doors(Bulbs):
    name = "doors"


class Walls(Bulbs):
    name = "walls"


@pytest.fixture
def node(tmp_path, monkeypatch):
    monkeypatch.setattr(
        _node_cli,
        "REGISTRY",
        {
            "bulbs": _concerns.Entry(Bulbs, Bulbs),
            "doors": _concerns.Entry(Doors, Doors),
            "walls": _concerns.Entry(Walls),
        },
    )
    monkeypatch.setattr(_node_cli, "RETRY_SECONDS", 0.001)
    Bulbs.appears_after = Bulbs.flickers = 0
    for name in ("hall", "broken", "stuck", "flickering"):
        put(tmp_path, f"bulbs/{name}", "off")
    put(tmp_path, "proc/sys/kernel/random/boot_id", "boot-1\n")
    return tmp_path


def put(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def call(root, *argv):
    out = io.StringIO()
    code = _node_cli.main(["--root", str(root), *argv], out)
    return code, out.getvalue()


def status(root, concern="bulbs"):
    return json.loads((root / f"run/fastpath/{concern}.json").read_text())


def test_a_line_for_each_operation_with_its_time(node):
    put(node, "etc/fastpath/bulbs.json", '["hall"]')
    code, out = call(node, "apply", "bulbs")
    first, last = out.splitlines()
    assert code == 0
    assert first.startswith("bulbs: turn hall: off -> on (0.") and first.endswith(" s)")
    assert last.startswith("bulbs: ok, 1 operations in 0.")
    assert status(node)["operations"][0]["target"] == "hall" and status(node)["ok"]


def test_the_desired_state_is_not_written_at_boot(node):
    put(node, "etc/fastpath/bulbs.json", '["hall"]')
    call(node, "apply")
    assert (node / "etc/fastpath/bulbs.json").read_text() == '["hall"]'


def test_nothing_was_applied_here(node):
    assert call(node, "apply", "bulbs") == (0, "bulbs: nothing was applied here\n")
    assert not (node / "run/fastpath").exists()
    assert call(node, "verify") == (0, "Nothing was applied on this node.\n")


def test_a_failure_is_said_kept_and_does_not_stop_the_next_concern(node):
    put(node, "etc/fastpath/bulbs.json", '["broken"]')
    put(node, "etc/fastpath/doors.json", '["hall"]')
    code, out = call(node, "apply")
    assert code == 1
    assert "bulbs: FAILED" in out and "The bulb is broken." in out and "doors: ok" in out
    assert (status(node)["error"], status(node)["details"]) == ("The bulb is broken.", {"bulb": "broken"})
    assert [step["target"] for step in status(node)["operations"]] == ["broken"]
    assert (node / "bulbs/hall").read_text() == "on"


def test_what_the_kernel_answers_is_no_traceback(node):
    put(node, "etc/fastpath/bulbs.json", '["stuck"]')
    code, out = call(node, "apply", "bulbs")
    assert code == 1 and "Input/output error (/bulbs/stuck)" in out


def test_a_broken_desired_state_is_named(node):
    put(node, "etc/fastpath/bulbs.json", '["hall"')
    code, out = call(node, "apply", "bulbs")
    assert code == 1 and "/etc/fastpath/bulbs.json is not JSON" in out
    assert not status(node)["ok"]


def test_hardware_that_comes_late_is_waited_for(node):
    put(node, "etc/fastpath/bulbs.json", '["attic"]')
    Bulbs.appears_after = 3
    code, out = call(node, "apply", "--wait", "20", "bulbs")
    assert code == 0
    assert out.count("waiting") == 1
    assert (node / "bulbs/attic").read_text() == "on"


def test_hardware_that_never_comes_is_waited_for_so_long(node):
    put(node, "etc/fastpath/bulbs.json", '["attic"]')
    Bulbs.appears_after = 10**9
    code, _out = call(node, "apply", "--wait", "0.05", "bulbs")
    assert code == 1 and "is not there" in status(node)["error"]
    Bulbs.appears_after = 10**9
    assert call(node, "apply", "bulbs")[1].count("waiting") == 0


def test_what_the_node_does_not_keep_while_it_boots_is_done_again(node):
    put(node, "etc/fastpath/bulbs.json", '["flickering"]')
    Bulbs.flickers = 2
    code, out = call(node, "apply", "--wait", "20", "bulbs")
    assert code == 0 and out.count("waiting: bulbs on") == 1 and "did not keep it: turn flickering" in out
    assert (node / "bulbs/flickering").read_text() == "on"


def test_what_the_node_never_keeps_is_a_failure(node):
    put(node, "etc/fastpath/bulbs.json", '["flickering"]')
    Bulbs.flickers = 10**9
    assert call(node, "apply", "--wait", "0.05", "bulbs")[0] == 1
    assert "did not keep it" in status(node)["error"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("apply", "walls"), "walls is not a concern that can be applied; these can: bulbs, doors."),
        (("verify", "sky"), "sky is not a concern that can be verified; these can: bulbs, doors, walls."),
        (("discover", "sky"), "sky is not a concern that can be looked at"),
    ],
)
def test_unknown_concerns(node, argv, message):
    code, out = call(node, *argv)
    assert code == 1 and message in out


@pytest.mark.parametrize("argv", [(), ("fly",), ("apply", "--wait", "long")])
def test_wrong_use(node, argv, capsys):
    with pytest.raises(SystemExit) as left:
        call(node, *argv)
    assert left.value.code == 2 and "usage: fastpath-node" in capsys.readouterr().err


def test_verify_as_a_table(node):
    put(node, "etc/fastpath/bulbs.json", '["hall", "cellar"]')
    put(node, "bulbs/hall", "on")
    code, out = call(node, "verify")
    assert code == 1
    assert out == (
        "        CHECK     TARGET  EXPECTED  SEEN\n"
        "ok      bulbs.on  hall    on        on\n"
        "FAILED  bulbs.on  cellar  on        -\n"
        "        Turn cellar on.\n"
        "2 checks, 1 failed\n"
    )


def test_verify_as_json(node):
    put(node, "etc/fastpath/bulbs.json", '["hall"]')
    put(node, "bulbs/hall", "on")
    code, out = call(node, "verify", "--json")
    assert code == 0 and json.loads(out)[0] == {
        "id": "bulbs.on",
        "layer": "bulbs",
        "target": "hall",
        "expected": "on",
        "seen": "on",
        "remedy": "Turn hall on.",
        "ok": True,
    }


def test_verify_of_what_was_never_applied_fails_if_named(node):
    code, out = call(node, "verify", "doors")
    assert code == 1 and "nothing was applied" in out


def test_verify_that_cannot_look_is_a_failed_check(node, monkeypatch):
    put(node, "etc/fastpath/bulbs.json", '["hall"]')

    def fail(self):
        raise FastpathError("It is dark.")

    monkeypatch.setattr(Bulbs, "discover", fail)
    code, out = call(node, "verify", "--json", "bulbs")
    assert code == 1 and json.loads(out)[0]["seen"] == "It is dark."
    assert call(node, "discover", "bulbs") == (1, "It is dark.\n")


def test_discover_is_json(node):
    code, out = call(node, "discover", "bulbs")
    assert code == 0 and json.loads(out) == {"bulbs": dict.fromkeys(("broken", "flickering", "hall", "stuck"), "off")}


@dataclass(frozen=True)
class Thing:
    sizes: frozenset
    parts: tuple


def test_any_state_becomes_json():
    state = {(2048, None): Thing(frozenset({3, 1}), (b"abc", 1.5)), None: [True, None], 7: "x", "do": [len, Thing]}
    assert _node_cli.plain(state) == {
        "2048/all": {"sizes": [1, 3], "parts": ["3 bytes", 1.5]},
        "all": [True, None],
        "7": "x",
        "do": ["len", "Thing"],
    }


def test_long_values_are_cut_in_the_journal():
    assert _node_cli._short("x" * 100) == "x" * 57 + "..."
    assert _node_cli._short({"b": 1, "a": 2}) == '{"a": 2, "b": 1}'


def test_the_real_registry(tmp_path):
    assert list(_concerns.REGISTRY) == [
        "boot_engine",
        "hugepages",
        "kernel_args",
        "sriov",
        "vdpa",
        "dpdk",
        "ovs_packages",
        "ovs_bundle",
        "ovs_dpdk",
        "cni_plugins",
        "container_runtime",
        "kube_join",
        "kubelet",
        "images",
        "node_agent",
    ]
    assert [name for name, entry in _concerns.REGISTRY.items() if entry.at_boot] == ["hugepages", "sriov", "vdpa"]
    for name, entry in _concerns.REGISTRY.items():
        for make in filter(None, (entry.make, entry.at_boot, entry.ahead)):
            assert make(_node_cli.Host(str(tmp_path))).name == name

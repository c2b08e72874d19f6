# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports of pods are planned by the role's planner: the agent and the role never touch each other's rows."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_plan
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import parse_selection, selection
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import parse_ovs
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import OvsState, Service, wanted_files
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_transaction import transaction
from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import INTERFACE, PORT, FakeOvsdb
from fastpath_agent.config import Pool
from fastpath_agent.model import NotPossible, PodOwner, SocketError, SocketLease
from fastpath_agent.ovs_ports import PodPort, bridge_problem, made_by_the_agent, plan_ports
from hypothesis import given
from hypothesis import strategies as st

POOLS = (Pool("a", "ovs", mode="server", bridge="br0"), Pool("b", "ovs", mode="server", bridge="br1", vlan=100))
RUNNING = Service(True, True, True)
ROLE = {"bridges": [{"name": "br0", "ports": [{"name": "tap0", "type": "tap"}]}, {"name": "br1"}]}


def port(number: int, pool: Pool = POOLS[0], mode="server", ifname="net1") -> PodPort:
    owner = PodOwner(f"{number:x}" * 64, ifname, "apps", f"pod{number}", f"uid-{number}")
    name = f"{owner.container_id[:12]}-{ifname}"
    folder = f"/var/run/vdpa/pods/{owner.uid}"
    return PodPort(pool, SocketLease(f"{pool.name}/{name}", "ovs", folder, name, owner, mode))


class Server:
    def __init__(self, role=None) -> None:
        self.database = FakeOvsdb()
        self.record: dict = {}
        self.role(ROLE if role is None else role)

    def read(self):
        return parse_selection(self.transact(selection()))

    def transact(self, steps):
        answers = self.database.answer("Open_vSwitch", *steps)
        assert not any(isinstance(answer, dict) and "error" in answer for answer in answers), answers
        return [answer for answer in answers if answer is not None]

    def role(self, spec) -> tuple:
        """A run of the role ovs_dpdk; what it did in the database."""
        parsed, problems = parse_ovs(spec)
        assert not problems
        current = OvsState(self.read(), RUNNING, record=self.record, files=wanted_files(parsed))
        work = _ovs_plan.plan(current, parsed)
        steps = [step for step in work.operations if step.action in _ovs_plan.IN_DATABASE]
        if steps:
            self.record = _ovs_plan.record(current, work)
            self.transact(transaction(steps, current.database))
        return tuple(steps)

    def agent(self, *ports: PodPort) -> tuple:
        current = self.read()
        steps = plan_ports(current, ports)
        if steps:
            self.transact(transaction(steps, current))
        return steps

    def names(self) -> set[str]:
        return {row["name"] for row in self.database.rows[PORT].values()}


def test_a_port_with_its_bridge_vlan_and_pod():
    server = Server()
    (step,) = server.agent(port(1, POOLS[1]))
    assert (step.action, step.target) == ("add_port", "br1/111111111111-net1")
    row = server.database.named(INTERFACE, "111111111111-net1")
    assert row["type"] == "dpdkvhostuserclient"
    assert row["options"] == {"vhost-server-path": "/var/run/vdpa/pods/uid-1/111111111111-net1", "n_rxq": "1"}
    assert row["external_ids"] == {
        "fastpath": "agent",
        "fastpath-pod": "apps/pod1",
        "fastpath-container": "1" * 64,
        "fastpath-interface": "net1",
    }
    assert server.database.named(PORT, "111111111111-net1")["tag"] == 100
    assert made_by_the_agent(server.read()) == ["111111111111-net1"]


def test_a_second_look_finds_nothing_to_do():
    server = Server()
    server.agent(port(1), port(2))
    assert server.agent(port(1), port(2)) == ()


def test_a_run_of_the_role_leaves_ports_of_pods_alone():
    server = Server()
    server.agent(port(1))
    assert server.role(ROLE) == ()
    assert "111111111111-net1" in server.names()


def test_the_agent_leaves_everything_else_alone():
    server = Server()
    before = server.database.state()
    server.agent(port(1))
    server.agent()
    after = server.database.state()
    assert after == before
    assert server.role(ROLE) == ()


def test_a_bridge_with_ports_of_pods_is_not_removed_without_consent():
    server = Server()
    server.agent(port(1))
    parsed, _problems = parse_ovs({})
    work = _ovs_plan.plan(OvsState(server.read(), RUNNING, files=wanted_files(parsed)), parsed)
    (step,) = work.disruptive
    assert step.target == "br0"
    assert "111111111111-net1" in step.reason


def test_somebody_took_a_port_away_or_changed_it():
    server = Server()
    server.agent(port(1), port(2))
    server.database.named(INTERFACE, "111111111111-net1")["options"]["vhost-server-path"] = "/elsewhere"
    for row in server.database.rows["Bridge"].values():
        row["ports"] = [uuid for uuid in row["ports"] if server.database.rows[PORT][uuid]["name"][0] != "2"]
    server.database._collect()
    server.agent(port(1), port(2))
    row = server.database.named(INTERFACE, "111111111111-net1")
    assert row["options"]["vhost-server-path"] == "/var/run/vdpa/pods/uid-1/111111111111-net1"
    assert "222222222222-net1" in server.names()


def test_a_name_that_somebody_else_has():
    server = Server({"bridges": [{"name": "br0", "ports": [{"name": "111111111111-net1", "type": "tap"}]}]})
    before = server.database.state()
    with pytest.raises(SocketError, match="is there already"):
        server.agent(port(1))
    assert server.database.state() == before


def test_a_bridge_that_is_gone_keeps_no_other_port_from_coming():
    server = Server({"bridges": [{"name": "br0"}]})
    assert "role ovs_dpdk makes it" in bridge_problem(server.read(), "br1")
    server.agent(port(1), port(2, POOLS[1]))
    assert server.names() == {"br0", "111111111111-net1"}


def test_a_bridge_in_the_kernel_takes_no_ports_of_pods():
    server = Server({"bridges": [{"name": "br0", "datapath_type": "system"}]})
    assert "has no datapath_type netdev" in bridge_problem(server.read(), "br0")
    assert server.agent(port(1)) == ()


def test_a_bridge_is_never_made_nor_removed():
    """A bridge that is empty after the last pod was not the pods'."""
    server = Server({"bridges": [{"name": "br0"}]})
    server.agent(port(1))
    server.agent()
    assert server.names() == {"br0"}


def test_a_pod_that_is_the_client():
    server = Server()
    server.agent(port(1, mode="client"))
    row = server.database.named(INTERFACE, "111111111111-net1")
    assert (row["type"], row["options"]) == ("dpdkvhostuser", {"n_rxq": "1"})


@pytest.mark.parametrize("ifname", ["net 1", "a/b", "x;reboot", "$(id)", ""])
def test_a_name_that_open_vswitch_does_not_take(ifname):
    strange = port(1, ifname=ifname)
    if ifname == "":
        strange = PodPort(strange.pool, SocketLease("a/x", "ovs", "/p", "", strange.lease.owner, "server"))
    with pytest.raises(NotPossible):
        plan_ports(Server().read(), [strange])


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pods"), st.sets(st.tuples(st.integers(1, 5), st.integers(0, 1)), max_size=4)),
        st.tuples(st.just("role"), st.sampled_from([ROLE, {"bridges": [{"name": "br0"}, {"name": "br1"}]}])),
    ),
    max_size=8,
)


@given(steps)
def test_whatever_comes_in_turn_both_have_what_they_want(sequence):
    server = Server()
    pods: list[PodPort] = []
    role = ROLE
    for kind, wanted in sequence:
        if kind == "role":
            role = wanted
            server.role(role)
        else:
            by_number = {number: POOLS[pool] for number, pool in wanted}
            pods = [port(number, pool) for number, pool in by_number.items()]
            server.agent(*pods)
        assert server.agent(*pods) == ()
        assert server.role(role) == ()
        assert made_by_the_agent(server.read()) == sorted(item.name for item in pods)
        for item in pods:
            assert server.read().bridge_of(item.name) == item.pool.bridge

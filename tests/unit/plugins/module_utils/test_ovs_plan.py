# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan and transaction against a small model of the database: for any states of it, and any specs."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_plan as planner
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import parse_selection, selection
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import parse_ovs
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import DROP_IN, OvsState, Service, wanted_files
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_transaction import transaction
from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import BRIDGE, INTERFACE, PORT, FakeOvsdb
from hypothesis import given, settings
from hypothesis import strategies as st

PROGRAM = "/usr/sbin/ovs-vswitchd"
RUNNING = Service(True, True, True, PROGRAM, PROGRAM, "3.5.0", "24.11.4")
NAMES = ("p0", "p1", "p2", "p3")
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=8)


def transact(server, steps):
    answers = json.loads(json.dumps(server.answer("Open_vSwitch", *json.loads(json.dumps(steps)))))
    assert not any(isinstance(answer, dict) and "error" in answer for answer in answers), answers
    return answers


def read(server):
    return parse_selection(transact(server, selection()))


def state(server, record=None, files=None, service=RUNNING):
    return OvsState(read(server), service, record=record or {}, files=files or {})


def parse(spec):
    parsed, problems = parse_ovs(spec)
    assert problems == []
    return parsed


def database_part(work):
    return [step for step in work.operations if step.action in planner.IN_DATABASE]


def apply(server, current, work):
    """What the concern does: record, transaction, files, forget. Returns the state afterwards."""
    record = planner.record(current, work)
    if database_part(work):
        transact(server, transaction(work.operations, current.database))
    forgotten = {text for step in work.operations if step.action == planner.FORGET for text in step.before}
    record["cells"] = {text: value for text, value in record["cells"].items() if text not in forgotten}
    files = dict(current.files)
    for step in work.operations:
        if step.action == planner.WRITE_FILE:
            files[step.target] = step.after
        elif step.action == planner.REMOVE_FILE:
            files.pop(step.target)
    return replace(current, database=read(server), record=record, files=files)


@st.composite
def interfaces(draw, name):
    kind = draw(st.sampled_from(["internal", "dpdk", "system", "dpdkvhostuserclient"]))
    found = {"name": name, "type": kind}
    if kind == "dpdk":
        found["options"] = {"dpdk-devargs": f"net_null{name[1:]}"}
    elif kind == "dpdkvhostuserclient":
        found["socket"] = f"/run/{draw(TEXTS.filter(lambda text: '/' not in text))}-{name}"
    if draw(st.booleans()):
        found["mtu_request"] = draw(st.sampled_from([1500, 9000, None]))
    if draw(st.booleans()):
        found["other_config"] = draw(st.dictionaries(TEXTS, TEXTS, max_size=2))
    return found


@st.composite
def specs(draw):
    keys = {
        "max-idle": st.sampled_from([500, 30000, None]),
        "pmd-cpu-mask": st.sampled_from(["1", "1-3", ""]),
        "tc-policy": st.sampled_from(["none", "skip_sw"]),
    }
    names = list(draw(st.permutations(NAMES)))
    bridges = []
    for name in draw(st.sets(st.sampled_from(["b0", "b1", "foreign"]))):
        ports = [draw(interfaces(names.pop())) for _number in range(draw(st.integers(0, 2))) if names]
        for port in ports:
            if draw(st.booleans()):
                port["tag"] = draw(st.sampled_from([1, 2, None]))
        bridge = {"name": name, "ports": ports}
        if draw(st.booleans()):
            bridge["fail_mode"] = draw(st.sampled_from(["secure", "standalone", None]))
        if draw(st.booleans()):
            bridge["controllers"] = draw(
                st.sampled_from([["tcp:192.0.2.1:1"], ["tcp:192.0.2.1:1", "tcp:192.0.2.2:1"], []])
            )
        if draw(st.booleans()):
            bridge["mtu"] = draw(st.sampled_from([1500, 9000]))
        bridges.append(bridge)
    return {"other_config": draw(st.fixed_dictionaries({}, optional=keys)), "bridges": bridges}


def foreign_server(config):
    """A database that others used before: keys, and a bridge with a port and a controller."""
    server = FakeOvsdb()
    spec = {
        "raw_other_config": {"theirs": "1"},
        "bridges": [
            {
                "name": "foreign",
                "fail_mode": "secure",
                "controllers": ["tcp:192.0.2.9:6653"],
                "ports": [{"name": "their0", "type": "internal", "tag": 7}],
            }
        ],
    }
    current = state(server)
    transact(server, transaction(planner.plan(current, parse(spec)).operations, current.database))
    for table in (BRIDGE, PORT, INTERFACE):
        for row in server.rows[table].values():
            row["external_ids"].pop("fastpath")
    server.root["other_config"].update(config)
    return server


CONFIGS = st.dictionaries(st.sampled_from(["max-idle", "pmd-cpu-mask", "tc-policy"]), TEXTS)


@settings(deadline=None)
@given(CONFIGS, st.lists(specs(), min_size=1, max_size=3))
def test_after_an_apply_nothing_is_left_to_do_and_teardown_returns_to_the_start(config, sequence):
    server = foreign_server(config)
    start = server.state()
    current = state(server)
    for spec in sequence:
        parsed = parse(spec)
        commits = server.commits
        work = planner.plan(current, parsed)
        current = apply(server, current, work)
        assert server.commits - commits == (1 if database_part(work) else 0)
        assert planner.plan(current, parsed).operations == ()
        assert current.files == wanted_files(parsed)
    current = apply(server, current, planner.plan_teardown(current))
    assert server.state() == start
    assert current.files == {}


@settings(deadline=None)
@given(CONFIGS, specs(), specs())
def test_the_inverse_takes_a_change_back(config, first, second):
    server = foreign_server(config)
    current = apply(server, state(server), planner.plan(state(server), parse(first)))
    before = server.state()
    work = planner.plan(current, parse(second))
    if database_part(work):
        transact(server, transaction(work.operations, current.database))
        transact(server, transaction(planner.inverse(work.operations), read(server)))
    assert server.state() == before


@settings(deadline=None)
@given(CONFIGS, specs())
def test_what_others_made_stays(config, spec):
    server = foreign_server(config)
    apply(server, state(server), planner.plan(state(server), parse(spec)))
    after = server.state()
    assert after["Open_vSwitch"]["."]["other_config"]["theirs"] == "1"
    assert "their0" in after[BRIDGE]["foreign"]["ports"]
    assert after[PORT]["their0"]["tag"] == 7


def one_port(name="p0", **more):
    return {"bridges": [{"name": "br0", "ports": [{"name": name, "type": "internal", **more}]}]}


def applied(server, spec, **options):
    current = state(server, **options)
    return apply(server, current, planner.plan(current, parse(spec)))


def actions(work):
    return [step.action for step in work.operations if step.action != planner.WRITE_FILE]


def test_twelve_keys_a_bridge_and_four_ports_are_one_transaction():
    keys = ["max-idle", "max-revalidator", "flow-limit", "n-handler-threads", "n-revalidator-threads"]
    config: dict[str, object] = dict.fromkeys(keys, 1000)
    config.update({"pmd-cpu-mask": "1-2", "pmd-auto-lb": True, "pmd-rxq-assign": "group", "smc-enable": False})
    config.update({"tx-flush-interval": 50, "vlan-limit": 2, "emc-insert-inv-prob": 50})
    ports = [{"name": f"p{number}", "type": "internal"} for number in range(4)]
    server = FakeOvsdb()
    applied(server, {"other_config": config, "bridges": [{"name": "br0", "ports": ports}]})
    assert server.commits == 1
    assert len(server.root["other_config"]) == len(config) == 12
    assert sorted(server.state()[BRIDGE]["br0"]["ports"]) == ["br0", "p0", "p1", "p2", "p3"]


def test_a_port_of_another_type_is_made_anew():
    current = applied(FakeOvsdb(), one_port())
    work = planner.plan(current, parse(one_port(type="tap")))
    assert actions(work) == [planner.DELETE_PORT, planner.ADD_PORT]


def test_a_port_moves_to_another_bridge():
    server = FakeOvsdb()
    current = applied(server, one_port())
    moved = {"bridges": [{"name": "br1", "ports": [{"name": "p0", "type": "internal"}]}, {"name": "br0"}]}
    apply(server, current, planner.plan(current, parse(moved)))
    assert server.state()[BRIDGE]["br1"]["ports"] == ["br1", "p0"]
    assert server.state()[BRIDGE]["br0"]["ports"] == ["br0"]


def test_an_option_that_is_no_longer_given_goes():
    server = FakeOvsdb()
    current = applied(server, one_port(options={"a": "1", "b": "2"}))
    work = planner.plan(current, parse(one_port(options={"b": "2"})))
    assert [step.target for step in work.operations if step.action == planner.SET] == ["Interface/p0/options:a"]
    apply(server, current, work)
    assert server.named(INTERFACE, "p0")["options"] == {"b": "2"}


def test_what_somebody_else_writes_into_our_rows_stays():
    server = FakeOvsdb()
    current = applied(server, one_port())
    server.named(INTERFACE, "p0")["external_ids"]["iface-id"] = "x"
    assert planner.plan(replace(current, database=read(server)), parse(one_port())).operations == ()


def test_a_port_that_others_made_is_taken_only_as_it_is():
    server = foreign_server({})
    adopted = {"bridges": [{"name": "foreign", "ports": [{"name": "their0", "type": "internal", "tag": 8}]}]}
    current = applied(server, adopted)
    assert server.named(PORT, "their0")["tag"] == 8
    apply(server, current, planner.plan_teardown(current))
    assert server.named(PORT, "their0")["tag"] == 7
    with pytest.raises(Refused) as refused:
        planner.plan(state(server), parse(one_port("their0", type="tap")))
    assert "is there already, with their0 (internal) on bridge foreign" in str(refused.value)


def test_names_that_are_taken_are_refused():
    server = foreign_server({})
    with pytest.raises(Refused, match="is a port of bridge foreign"):
        planner.plan(state(server), parse({"bridges": [{"name": "their0"}]}))
    members = [{"name": "their0", "type": "tap"}, {"name": "m1", "type": "tap"}]
    with pytest.raises(Refused, match="is an interface of port their0 already"):
        planner.plan(
            state(server),
            parse({"bridges": [{"name": "b", "ports": [{"name": "x", "type": "bond", "members": members}]}]}),
        )


def test_flows_are_for_bridges_of_ours():
    with pytest.raises(Refused, match="for bridges that this collection makes"):
        planner.plan(state(foreign_server({})), parse({"bridges": [{"name": "foreign", "flows": ["actions=drop"]}]}))


def test_removing_a_bridge_with_ports_of_others_needs_consent():
    server = FakeOvsdb()
    current = applied(server, one_port())
    server.named(PORT, "p0")["external_ids"].clear()
    (step,) = planner.plan(replace(current, database=read(server)), parse({})).disruptive
    assert (step.action, step.reason) == (planner.DELETE_BRIDGE, "others put p0 on this bridge")


def dpdk(**config):
    return {"other_config": {"dpdk-init": True, **config}}


def initialized(server, current):
    server.root["dpdk_initialized"] = True
    return replace(current, database=read(server))


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        ({"max-idle": 1000}, False),
        ({"pmd-cpu-mask": "1"}, False),
        ({"dpdk-extra": "--no-pci"}, True),
        ({"dpdk-socket-mem": "1024"}, True),
        ({"userspace-tso-enable": True}, True),
        ({"dpdk-init": False}, True),
    ],
)
def test_which_keys_restart(change, restarts):
    server = FakeOvsdb()
    current = initialized(server, applied(server, dpdk()))
    work = planner.plan(current, parse({"other_config": {"dpdk-init": True, **change}}))
    assert (planner.RESTART in actions(work)) is restarts
    assert not work.disruptive


def test_a_first_start_of_dpdk_needs_no_restart():
    work = planner.plan(state(FakeOvsdb()), parse(dpdk(**{"dpdk-extra": "--no-pci"})))
    assert planner.RESTART not in actions(work)


def test_a_restart_with_ports_is_disruptive():
    server = FakeOvsdb()
    spec = {**dpdk(), **one_port()}
    current = initialized(server, applied(server, spec))
    (step,) = planner.plan(current, parse({**dpdk(**{"dpdk-extra": "-x"}), **one_port()})).disruptive
    assert step.reason == "dpdk-extra is read at its start only, and meanwhile p0 forward nothing"


def test_another_program_is_started():
    service = replace(RUNNING, running_program="/old")
    (step,) = [
        s
        for s in planner.plan(state(FakeOvsdb(), service=service), parse(dpdk())).operations
        if s.action == planner.RESTART
    ]
    assert (step.before, step.after) == ("/old", PROGRAM)


def test_a_failed_initialisation_is_tried_again():
    current = applied(FakeOvsdb(), dpdk())
    (step,) = planner.plan(current, parse(dpdk())).operations
    assert "could not initialise DPDK" in step.reason


def test_what_does_not_run_is_started():
    stopped = replace(RUNNING, running=False, server=False)
    assert actions(planner.plan(state(FakeOvsdb(), service=stopped), parse(one_port()))) == [
        planner.START_SERVER,
        planner.ADD_BRIDGE,
        planner.START,
    ]


def test_an_interface_with_an_error_is_tried_again():
    server = FakeOvsdb()
    current = applied(server, one_port())
    server.named(INTERFACE, "p0")["error"] = "no such device"
    (step,) = planner.plan(replace(current, database=read(server)), parse(one_port())).operations
    assert (step.action, step.target, step.before) == (planner.RECONFIGURE, "Interface/p0", "no such device")


def test_flows():
    server = FakeOvsdb()
    spec = {"bridges": [{"name": "br0", "flows": ["actions=drop"], "protocols": ["OpenFlow13"]}]}
    work = planner.plan(state(server), parse(spec))
    (step,) = [step for step in work.operations if step.action == planner.REPLACE_FLOWS]
    assert step.after == {"flows": ["actions=drop"], "bundle": False}
    current = apply(server, state(server), work)
    assert "ExecStartPost=-ovs-ofctl -O OpenFlow10," in current.files[DROP_IN]
    assert planner.plan(current, parse(spec)).operations == ()
    assert actions(planner.plan(replace(current, other_flows=frozenset(["br0"])), parse(spec))) == [
        planner.REPLACE_FLOWS
    ]
    (step,) = [
        step
        for step in planner.plan(current, parse({"bridges": [{"name": "br0", "protocols": ["OpenFlow13"]}]})).operations
        if step.action == planner.REPLACE_FLOWS
    ]
    assert step.after["flows"] == ["priority=0,actions=NORMAL"]


def test_the_drop_in_orders_after_pages_and_vfs():
    text = wanted_files(parse({"other_config": {"vhost-sock-dir": "vhost"}}))[DROP_IN]
    assert "After=fastpath-hugepages.service fastpath-sriov.service" in text
    assert "ExecStartPre=/bin/mkdir -p /run/openvswitch/vhost" in text


def test_planning_leaves_its_input_alone():
    server = foreign_server({})
    current = state(server)
    kept = copy.deepcopy(current)
    planner.plan(current, parse(one_port()))
    assert current == kept

# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers and CPUs of devices: never CPU 0, near the device, the same after a restart."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from fastpath_agent.config import Program
from fastpath_agent.model import NotPossible
from fastpath_agent.places import Place, Places, cpu_nodes
from hypothesis import given
from hypothesis import strategies as st

PATH = "/run/fastpath/agent/places.json"
VDPA, TRANSLATE = Program("dpdk-vdpa"), Program("dpdk-testpmd", (2,), (3, 5, 6))


@pytest.fixture
def host(tmp_path):
    for node, cpus in ((0, "0-3"), (1, "4-7")):
        folder = tmp_path / f"sys/devices/system/node/node{node}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{cpus}\n")
    boot(tmp_path, "one")
    return Host(str(tmp_path))


def boot(tmp_path, name: str) -> None:
    path = tmp_path / "proc/sys/kernel/random/boot_id"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{name}\n")


def places(host, own=range(8)) -> Places:
    return Places(host, PATH, own)


def test_cpus_and_their_nodes(host):
    assert cpu_nodes(host) == {**dict.fromkeys(range(4), 0), **dict.fromkeys(range(4, 8), 1)}


def test_the_nearest_cpu_that_does_least_and_never_the_first(host):
    known = places(host)
    assert [known.take(f"d{number}", VDPA, 1, 0).cpus for number in range(4)] == [(1,), (2,), (3,), (1,)]
    assert known.take("d4", VDPA, 1, 1).cpus == (4,)
    assert known.take("d5", VDPA, 1, None).cpus == (5,)


def test_cpus_out_of_the_configuration(host):
    known = places(host)
    assert known.take("a", Program("x", (6, 7)), 1, 0).cpus == (6,)
    assert known.take("b", Program("x", (6, 7)), 1, 0).cpus == (7,)


def test_cpu_0_only_where_there_is_no_other(host):
    assert places(host, own=(0,)).take("a", VDPA, 1, 0).cpus == (0,)
    assert places(host, own=(0, 1)).take("b", VDPA, 1, 1).cpus == (1,)


def test_a_forwarding_cpu_has_one_device(host):
    known = places(host)
    assert known.take("a", TRANSLATE, 2, 1).cpus == (2, 5)
    assert known.take("b", TRANSLATE, 2, 1).cpus == (2, 6)
    assert known.take("c", TRANSLATE, 2, 1).cpus == (2, 3)
    with pytest.raises(NotPossible, match="each of 3,5-6 has another device"):
        known.take("d", TRANSLATE, 2, 1)
    known.give_back("b")
    assert known.take("d", TRANSLATE, 2, 1).cpus == (2, 6)


def test_without_forwarding_cpus_the_others_are_shared(host):
    known = places(host, own=(0, 1))
    assert known.take("a", Program("x"), 2, None).cpus == (1, 1)
    assert known.take("b", Program("x"), 2, None).cpus == (1, 1)


def test_the_same_place_after_a_restart_of_the_agent(host):
    known = places(host)
    taken = {name: known.take(name, VDPA, 1, None) for name in "abc"}
    known.give_back("a")
    again = places(host)
    assert again.take("c", VDPA, 1, None) == taken["c"]
    assert again.take("b", VDPA, 1, None) == taken["b"]
    assert again.take("a", VDPA, 1, None).number == taken["a"].number


def test_a_number_stays_with_its_device_until_the_node_boots(host, tmp_path):
    known = places(host)
    assert [known.take(name, VDPA, 1, None).number for name in "ab"] == [0, 1]
    known.give_back("a")
    assert known.take("c", VDPA, 1, None).number == 2
    boot(tmp_path, "two")
    assert places(host).take("c", VDPA, 1, None).number == 0


def test_other_cpus_in_the_configuration_are_another_place(host):
    places(host).take("a", Program("x", (2, 3)), 1, None)
    assert places(host).take("a", Program("x", (5,)), 1, None) == Place(0, (5,), True)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot_id": "one"}', '{"boot_id": "one", "places": {"a": 7}}'])
def test_a_broken_file_is_as_good_as_none(host, tmp_path, content):
    path = tmp_path / PATH[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    assert places(host).take("a", VDPA, 1, None).number == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=30))
def test_no_two_devices_have_one_number_or_one_forwarding_cpu(tmp_path_factory, steps):
    host = Host(str(tmp_path_factory.mktemp("node")))
    known = places(host)
    taken: dict[str, Place] = {}
    for name, come in steps:
        if not come:
            known.give_back(name)
            taken.pop(name, None)
            continue
        try:
            taken[name] = known.take(name, TRANSLATE, 2, None)
        except NotPossible:
            assert len(taken) == len(TRANSLATE.forwarding_cpus)
    assert len({place.number for place in taken.values()}) == len(taken)
    assert len({place.cpus[1] for place in taken.values()}) == len(taken)
    assert all(place.cpus[0] == 2 for place in taken.values())

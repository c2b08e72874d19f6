# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's configuration: what it takes, and every problem at once."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from fastpath_agent.config import Access, Config, Pool, Program, load, parse
from hypothesis import given
from hypothesis import strategies as st

WHOLE = {
    "version": 1,
    "pci_list": "pools",
    "directory": "/var/run/vdpa",
    "state_directory": "/run/fastpath/agent",
    "sysfs": "/host/sys",
    "ovs_database": "/run/openvswitch/db.sock",
    "cni_socket": "/run/fastpath/agent/cni.sock",
    "grpc": True,
    "grpc_users": [0, 1001],
    "listen": ":9465",
    "links_in_pod_folders": False,
    "vdpa": {"path": "/opt/dpdk/bin/dpdk-vdpa", "cpus": "2-3", "memory_mib": 64, "eal_args": ["--log-level=5"]},
    "translate": {"cpus": "2", "forwarding_cpus": "4-7", "memory_mib": 256, "app_args": ["--rxd=512"]},
    "pools": [
        {
            "name": "vdpa_dpdk_a",
            "backend": "vdpa",
            "selectors": {"vendors": ["1af4"], "devices": ["1041"], "pfNames": ["enp131s0f0#0-3"]},
            "devargs": "vdpa=1,sw-live-migration=1",
            "user": 1000,
            "group": 1000,
            "label": "system_u:object_r:container_file_t:s0",
        },
        {"name": "cloud", "backend": "translate", "selectors": [{"rootDevices": ["0000:00:05.0"]}], "queues": 2},
        {"name": "bridge", "backend": "ovs", "bridge": "br0", "vlan": 100},
    ],
}


def problems(content) -> list[str]:
    with pytest.raises(Refused) as refused:
        parse(content)
    return [str(problem) for problem in refused.value.problems]


def test_a_whole_one():
    config = parse(WHOLE)
    assert [pool.name for pool in config.pools] == ["vdpa_dpdk_a", "cloud", "bridge"]
    assert config.pools[0].access == Access(1000, 1000, "system_u:object_r:container_file_t:s0")
    assert (config.pools[0].mode, config.pools[2].mode) == ("client", "server")
    assert (config.pools[2].bridge, config.pools[2].vlan, config.pools[1].queues) == ("br0", 100, 2)
    assert config.vdpa == Program("/opt/dpdk/bin/dpdk-vdpa", (2, 3), (), 64, ("--log-level=5",))
    assert config.translate == Program("dpdk-testpmd", (2,), (4, 5, 6, 7), 256, (), ("--rxd=512",))
    assert config.listen == ("", 9465)
    assert config.grpc_users == (0, 1001)
    assert config.grpc_socket == "/var/run/vdpa/vdpa.sock"
    assert config.pool("cloud") is config.pools[1]
    assert config.pool("nothing") is None


def test_an_empty_one_is_all_defaults():
    assert parse({}) == Config()
    assert parse({"pools": [{"name": "a"}]}).pools == (Pool("a"),)


def test_a_program_keeps_the_defaults_that_are_not_given():
    assert parse({"translate": {"cpus": "3"}}).translate == Program("dpdk-testpmd", (3,), (), 128)


def test_every_problem_is_said_at_once():
    said = problems(
        {
            "pcilist": "pools",
            "directory": "var/run",
            "listen": "9465",
            "vdpa": {"cpus": "0-3"},
            "pools": [{"name": "a.b"}, {"name": "x", "backend": "vpp"}, {"name": "y", "backend": "ovs"}, 7],
        }
    )
    assert len(said) == 8
    assert any("Did you mean pci_list?" in line for line in said)
    assert any(line.startswith("config.vdpa.cpus = '0-3': has CPU 0, which is the system's") for line in said)
    assert any(line.startswith("config.pools[2].bridge") for line in said)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"version": 2}, "config.version = 2: must be 1"),
        ({"pools": {}}, "config.pools"),
        ({"pools": [{"backend": "vdpa"}]}, "is missing: the name of the pool"),
        ({"pools": [{"name": "a"}, {"name": "a"}]}, "config.pools[1].name = 'a': stands there twice"),
        ({"pools": [{"name": "a", "bridge": "br0"}]}, "is for the back end ovs, and this pool has vdpa"),
        ({"pools": [{"name": "a", "backend": "ovs", "bridge": "b", "devargs": "x=1"}]}, "vdpa or translate"),
        ({"pools": [{"name": "a", "backend": "translate"}]}, "is missing: which devices the pool has"),
        ({"pools": [{"name": "a", "selectors": {}}]}, "must be a mapping with at least one of vendors"),
        ({"pools": [{"name": "a", "selectors": {"pfName": ["x"]}}]}, "Did you mean pfNames?"),
        ({"pools": [{"name": "a", "selectors": {"pfNames": ["x#5-2"]}}]}, "must ascend"),
        ({"pools": [{"name": "a", "selectors": {"vendors": ["0x8086g"]}}]}, "four hex digits"),
        ({"pools": [{"name": "a", "devargs": "vdpa=1 -- --iface /x"}]}, "must be device arguments"),
        ({"pools": [{"name": "a", "label": "x"}]}, "must be an SELinux context"),
        ({"pools": [{"name": "a", "user": -1}]}, "config.pools[0].user"),
        ({"pools": [{"name": "a", "mode": "both"}]}, "must be one of client, server"),
        ({"pools": [{"name": "a", "backend": "ovs", "bridge": "b", "vlan": 4095}]}, "config.pools[0].vlan"),
        ({"vdpa": 7}, "must be an object"),
        ({"vdpa": {"path": "dpdk vdpa"}}, "must be the name or the path of a program"),
        ({"vdpa": {"eal_args": ["-a x"]}}, "must be a list of arguments without blanks"),
        ({"vdpa": {"cpus": 3}}, 'for CPU 3 alone write "3" in quotes'),
        ({"directory": "/var/run/../etc"}, "must be written as /var/etc"),
        ({"directory": "/var/run/vdpa/"}, "must be written as /var/run/vdpa"),
        ({"directory": "/var/my run"}, "must be an absolute path without blanks"),
        ({"cni": 7}, "must be an object with keys out of bin_dir, records"),
        ({"cni": {"bindir": "/x"}}, "Did you mean bin_dir?"),
        ({"cni": {"bin_dir": "opt/cni/bin"}}, "must be an absolute path without blanks"),
        ({"cni": {"tool_folders": "/x"}}, "must be a list of absolute paths"),
        ({"listen": "127.0.0.1:99999"}, "must be an address and a port"),
        ({"grpc_users": ["root"]}, "config.grpc_users"),
        ({"cni_socket": "/" + "x" * 110}, "is longer than 107 bytes"),
        ([], "config = []: must be an object"),
    ],
)
def test_what_is_refused(change, expected):
    assert any(expected in line for line in problems(change))


def test_a_file_that_is_not_there_or_no_json(tmp_path):
    with pytest.raises(Refused, match="cannot be read as JSON"):
        load(str(tmp_path / "config.json"))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(Refused, match="cannot be read as JSON"):
        load(str(tmp_path / "config.json"))
    (tmp_path / "config.json").write_text(json.dumps(WHOLE))
    assert load(str(tmp_path / "config.json")) == parse(WHOLE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = [*WHOLE, "other"]


@given(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=6), json_values)
def test_no_content_is_too_odd(content, pool):
    for odd in (content, {"pools": [pool]}, {"pools": [{"name": "a", "selectors": pool}]}, {"vdpa": pool}, pool):
        try:
            assert isinstance(parse(odd), Config)
        except Refused as refused:
            assert refused.problems

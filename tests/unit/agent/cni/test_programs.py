# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs as processes: IPAM plugins and helpers that answer, fail, hang and flood."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from fastpath_agent.cni import commands
from fastpath_agent.cni.cgroup import cpus_of
from fastpath_agent.cni.commands import Completed, TimedOut
from fastpath_agent.cni.errors import CniError
from fastpath_agent.cni.ipam import Ipam, find_plugin, ipam_type
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.vhost_tools import Program, built_in
from fastpath_agent.cni.vpp import Vpp, memif_number

CONF = {"cniVersion": "1.0.0", "name": "n", "ipam": {"type": "test-ipam"}}


def program(folder: Path, text: str, name: str = "test-ipam") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def environment(folder: Path) -> dict[str, str]:
    return {"CNI_PATH": f"relative:{folder}/none:{folder}/", "CNI_CONTAINERID": "c", "CNI_IFNAME": "net1"}


def test_plugin_gets_the_request_and_answers(tmp_path: Path) -> None:
    program(tmp_path, f'cat > {tmp_path}/in; env > {tmp_path}/env; echo \'{{"ips": [{{"address": "192.0.2.7/24"}}]}}\'')
    result = Ipam().add(CONF, environment(tmp_path), 10)
    assert [ip.cidr for ip in result.ips] == ["192.0.2.7/24"]
    assert json.loads((tmp_path / "in").read_text()) == CONF
    given = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert given["CNI_COMMAND"] == "ADD" and given["CNI_CONTAINERID"] == "c" and "/usr/bin" in given["PATH"]
    assert not any(name.startswith(("KUBERNETES", "HOME")) for name in given), "nothing of the agent's own"


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("exit 3", 103, "exit code 3"),
        ("echo broken >&2; exit 1", 103, "failed at ADD"),
        ('echo \'{"code": 7, "msg": "no range", "details": "x"}\'; exit 1', 7, "no range"),
        ('echo \'{"code": "7"}\'; exit 1', 103, "failed"),
        ("echo nonsense", 6, "JSON"),
        ("true", 6, "JSON"),
        ("echo '{}'", 103, "no address"),
        ("echo '[]'", 6, "no JSON object"),
        ('echo \'{"ips": [{"address": "x"}]}\'', 6, "no valid result"),
        ("head -c 3000000 /dev/zero", 6, "JSON"),
    ],
)
def test_plugin_that_fails(tmp_path: Path, text: str, code: int, told: str) -> None:
    program(tmp_path, text)
    with pytest.raises(CniError) as raised:
        Ipam().add(CONF, environment(tmp_path), 10)
    assert raised.value.code == code and told in raised.value.message


def test_plugin_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    program(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    began = time.monotonic()
    with pytest.raises(CniError) as raised:
        Ipam(timeout=0.3).add(CONF, environment(tmp_path), 10)
    assert raised.value.code == 11 and time.monotonic() - began < 10
    child = int((tmp_path / "child").read_text())
    for _attempt in range(100):
        if not _runs(child):
            return
        time.sleep(0.02)
    raise AssertionError("the child still runs")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_plugin_that_cannot_be_run(tmp_path: Path) -> None:
    program(tmp_path, "true").write_text("no script")
    with pytest.raises(CniError) as raised:
        Ipam().call("DEL", CONF, environment(tmp_path), 10)
    assert raised.value.code == 103


@pytest.mark.parametrize("what", ["missing", "folder", "not executable"])
def test_plugin_that_is_not_there(tmp_path: Path, what: str) -> None:
    if what == "folder":
        (tmp_path / "test-ipam").mkdir()
    elif what == "not executable":
        program(tmp_path, "true").chmod(0o644)
    with pytest.raises(CniError, match="test-ipam") as raised:
        find_plugin(CONF, environment(tmp_path))
    assert raised.value.code == 7


@pytest.mark.parametrize(
    "value", ["", ".", "..", "a/b", "../x", 7, None, "a b", "-x", "vdpa", "userspace", "vhostuser"]
)
def test_names_that_are_no_ipam_plugins(value: Any) -> None:
    with pytest.raises(CniError) as raised:
        ipam_type({"ipam": {"type": value}})
    assert raised.value.code == 7


def test_dhcp_is_refused_by_name() -> None:
    with pytest.raises(CniError, match='ipam.type = "dhcp"') as raised:
        ipam_type({"ipam": {"type": "dhcp"}})
    assert raised.value.code == 2


@pytest.mark.parametrize("value", ["x", 7, [], ["x"], {"a": 1}])
def test_ipam_that_is_no_object(value: Any) -> None:
    with pytest.raises(CniError):
        ipam_type({"ipam": value})
    assert ipam_type({"ipam": {}}) == ipam_type({"ipam": None}) == ipam_type({}) == ""


def test_programs_get_no_shell(tmp_path: Path) -> None:
    tool = program(tmp_path, 'printf "%s|" "$@"', "tool")
    done = commands.run([str(tool), "a b", "$(touch x)", ";", "*"], b"", {}, 10)
    assert (done.rc, done.out) == (0, b"a b|$(touch x)|;|*|")
    with pytest.raises(OSError):
        commands.run([str(tmp_path / "none")], b"", {}, 1)


def test_helper_as_a_process(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("helpers have to be root's")
    (tmp_path / "tools").mkdir(mode=0o755)
    tool = program(
        tmp_path / "tools",
        'case "$1" in create) echo "port9";; getmac) printf "02:AA:00:00:00:01\\n";; *) exit 4;; esac',
        "tool",
    )
    helper = Program(str(tool), Settings(tool_folders=(str(tmp_path / "tools"),)), commands.run)
    assert helper.create("/run/x") == "port9" and helper.mac("port9") == "02:aa:00:00:00:01"
    with pytest.raises(CniError, match="exit code 4") as raised:
        helper.config("port9", "192.0.2.1", "02:00:00:00:00:01")
    assert raised.value.code == 106
    helper.delete("", "/run/x")
    os.unlink(tool)
    with pytest.raises(CniError, match="cannot be run"):
        helper.create("/run/x")


def test_names_of_helpers() -> None:
    assert [built_in(name) for name in ("ovs", "vpp", "/a/ovs-config.py", "/b/vpp-config.py")] == ["ovs", "vpp"] * 2
    assert [built_in(name) for name in ("../ovs", "ovs-config.py", "/bin/ovs", "", "/x")] == [""] * 5


class Transcript:
    """A command line of VPP that expects these words and no others."""

    def __init__(self, *exchanges: tuple[str, str | int | Exception]) -> None:
        self.exchanges = list(exchanges)

    def __call__(self, argv: Any, stdin: bytes, environment: Any, timeout: float) -> Completed:
        assert list(argv[:3]) == ["vppctl", "-s", "/cli.sock"] and stdin == b"" and timeout > 0
        expected, answer = self.exchanges.pop(0)
        assert " ".join(argv[3:]) == expected
        if isinstance(answer, Exception):
            raise answer
        return Completed(1, b"", b"refused") if isinstance(answer, int) else Completed(0, answer.encode(), b"")


def vpp(*exchanges: tuple[str, str | int | Exception]) -> Vpp:
    found = Vpp(Transcript(*exchanges), "/cli.sock")
    found.present = lambda: True  # type: ignore[method-assign]
    return found


def test_vhost_user_port_of_vpp() -> None:
    found = vpp(
        ("create vhost-user socket /run/x server", "VirtualEthernet0/0/3\n"),
        ("set interface state VirtualEthernet0/0/3 up", ""),
        ("show hardware-interfaces VirtualEthernet0/0/3", "Name Idx\n  Ethernet address 02:FE:fc:89:49:d8\n"),
        ("set interface unnumbered VirtualEthernet0/0/3 use loop0", ""),
        ("ip route add 192.0.2.7/32 via VirtualEthernet0/0/3", ""),
        ("set ip neighbor VirtualEthernet0/0/3 192.0.2.7 02:00:00:00:00:01", ""),
        ("delete vhost-user VirtualEthernet0/0/3", "unknown input"),
    )
    name = found.add_vhost("/run/x")
    assert found.mac(name) == "02:fe:fc:89:49:d8"
    found.route_to(name, "192.0.2.7", "02:00:00:00:00:01", 32)
    found.delete_vhost(name, "/run/x")


@pytest.mark.parametrize("answer", [1, "create vhost-user: unknown input `x'", "some words", "", "-x"])
def test_vpp_that_refuses(answer: str | int) -> None:
    with pytest.raises(CniError) as raised:
        vpp(("create vhost-user socket /run/x server", answer)).add_vhost("/run/x")
    assert raised.value.code == 104


@pytest.mark.parametrize(("answer", "code"), [(TimedOut("vppctl"), 11), (FileNotFoundError(2, "No such file"), 104)])
def test_vpp_that_does_not_answer(answer: Exception, code: int) -> None:
    with pytest.raises(CniError) as raised:
        vpp(("create vhost-user socket /run/x server", answer)).add_vhost("/run/x")
    assert raised.value.code == code


@pytest.mark.parametrize("path", ["/a b", "/a\nquit", "/a;b", "$(x)", ""])
def test_vpp_gets_no_word_with_blanks(path: str) -> None:
    with pytest.raises(CniError) as raised:
        vpp().add_vhost(path)
    assert raised.value.code == 104


def test_vpp_without_a_mac() -> None:
    with pytest.raises(CniError, match="MAC"):
        vpp(("show hardware-interfaces x", "none")).mac("x")


def test_numbers_of_memifs_are_the_same_each_time_and_never_vpps_own() -> None:
    numbers = {memif_number(f"c{number}", "net1") for number in range(500)}
    assert len(numbers) == 500 and all(0 < number < 2**31 for number in numbers)
    assert memif_number("c1", "net1") == memif_number("c1", "net1")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/pod/cpuset.cpus.effective": "2-3,6\n", "/pod/cpuset.cpus": "\n"}, "2-3,6"),
        ({"/pod/cpuset.cpus": "4\n"}, "4"),
        ({"/cpuset/pod/cpuset.cpus": "0-1\n"}, "0-1"),
        ({"/pod/cpuset.cpus.effective": "nonsense\n"}, ""),
        ({"/pod/cpuset.cpus.effective": ""}, ""),
        ({}, ""),
    ],
)
def test_cpus_of_both_versions_of_cgroups(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, text in files.items():
        path = tmp_path / f"sys/fs/cgroup{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpus_of("/pod", Settings(root=str(tmp_path))) == expected
    assert cpus_of("", Settings(root=str(tmp_path))) == ""

# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seam to ``vdpa``: its JSON with all its oddities, its argument lists, and what its errors mean."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_tool
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import VdpaAttributes
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_state import MgmtDev

MGMTDEVS = (
    '{"mgmtdev":{"pci/0000:65:00.2":{"supported_classes":["net"],"max_supported_vqs":257,"dev_features":["CSUM","MAC",40]},'
    '"vduse":{"supported_classes":["< unknown class >","block"],"max_supported_vqs":0}}}'
)
DEVICES = (
    '{"dev":{"vdpa0":{"type":"network","mgmtdev":"pci/0000:65:00.2","vendor_id":5555,"max_vqs":16,"max_vq_size":256}}}'
)
CONFIG = (
    '{"config":{"vdpa0":{"mac":"02:00:00:00:00:0A","link ":"up","link_announce ":false,"max_vq_pairs":4,"mtu":9000,'
    '"negotiated_features":["MAC"]}}}'
)


class Transcript:
    """Answers the expected calls in their order and no other."""

    def __init__(self, *expected: tuple[list[str], Completed]) -> None:
        self.left = list(expected)
        self.host = Host(run=self)

    def __call__(self, argv, timeout, stdin):
        wanted, answer = self.left.pop(0)
        assert list(argv) == wanted
        assert timeout == _vdpa_tool.VDPA_SECONDS
        return answer


def one(words: str, out: str = "", err: str = "", rc: int = 0) -> Host:
    return Transcript((words.split(), Completed(rc, out, err))).host


def test_management_devices():
    assert _vdpa_tool.management_devices(one("vdpa -j mgmtdev show", MGMTDEVS)) == {
        "pci/0000:65:00.2": MgmtDev("pci/0000:65:00.2", 1 << 0 | 1 << 5 | 1 << 40, 257),
        "vduse": MgmtDev("vduse", None, 0),
    }


@pytest.mark.parametrize(
    "answer",
    [
        Completed(0, '{"mgmtdev":{}}', ""),
        Completed(0, "{}", ""),
        Completed(0, "", ""),
        Completed(1, "", "Failed to connect to vdpa Netlink\n"),
        Completed(127, "", "vdpa: not found"),
    ],
)
def test_no_management_device(answer):
    host = Transcript((["vdpa", "-j", "mgmtdev", "show"], answer)).host
    assert _vdpa_tool.management_devices(host) == {}


def test_devices():
    assert _vdpa_tool.devices(one("vdpa -j dev show", DEVICES))["vdpa0"]["mgmtdev"] == "pci/0000:65:00.2"


@pytest.mark.parametrize(
    ("out", "err", "rc", "told"),
    [
        ("", "kernel answers: Operation not permitted\n", 1, "vdpa dev show failed: Operation not permitted"),
        ("", "", 2, "vdpa dev show failed: exit code 2"),
        ("vdpa0: type", "", 0, "printed no JSON"),
    ],
)
def test_devices_that_cannot_be_listed(out, err, rc, told):
    with pytest.raises(FastpathError, match=told):
        _vdpa_tool.devices(one("vdpa -j dev show", out, err, rc))


def test_what_devices_say_of_themselves():
    host = one("vdpa -j dev config show", CONFIG)
    assert _vdpa_tool.attributes(host, ["vdpa0"]) == {"vdpa0": VdpaAttributes("02:00:00:00:00:0a", 9000, 4)}


def test_nobody_is_asked_where_there_is_no_network_device():
    assert _vdpa_tool.attributes(Transcript().host, []) == {}


def test_a_device_of_another_kind_ends_the_kernels_list():
    """The kernel answers for network devices only, and stops at the first that is none."""
    show = ["vdpa", "-j", "dev", "config", "show"]
    transcript = Transcript(
        (show, Completed(255, '{"config":{', "kernel answers: Operation not supported\n")),
        ([*show, "vdpa0"], Completed(0, CONFIG, "")),
        ([*show, "vdpa1"], Completed(255, "", "kernel answers: No such device\n")),
    )
    assert set(_vdpa_tool.attributes(transcript.host, ["vdpa0", "vdpa1"])) == {"vdpa0"}
    assert transcript.left == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (VdpaAttributes(), ""),
        (VdpaAttributes(mac="02:00:00:00:00:01"), " mac 02:00:00:00:00:01"),
        (
            VdpaAttributes("02:00:00:00:00:01", 9000, 4, 0x300000020),
            " device_features 0x300000020 mac 02:00:00:00:00:01 mtu 9000 max_vqp 4",
        ),
    ],
)
def test_making_a_device(wanted, words):
    _vdpa_tool.add(one(f"vdpa dev add name v0 mgmtdev pci/0000:65:00.2{words}"), "v0", "pci/0000:65:00.2", wanted)


MAC = VdpaAttributes(mac="02:00:00:00:00:01")
FEATURES = VdpaAttributes(features=0x20)


@pytest.mark.parametrize(
    ("wanted", "mgmtdev", "err", "told"),
    [
        (
            MAC,
            "pci/0000:65:00.2",
            "Error: vdpa: Some provided attributes are not supported: 0x40.\nkernel answers: Operation not supported\n",
            "the kernel's driver of pci/0000:65:00.2 cannot set all of mac (Some provided attributes are not "
            "supported: 0x40: Operation not supported)",
        ),
        (
            MAC,
            "pci/0000:65:00.2",
            "Error: vdpa: All provided attributes are not supported.\nkernel answers: Operation not supported\n",
            "cannot set all of mac",
        ),
        (FEATURES, "pci/0000:65:00.2", 'Unknown option "device_features"\n', "takes iproute2 6.2 and Linux 6.2"),
        (VdpaAttributes(max_vqp=2), "pci/0000:65:00.2", 'Unknown option "max_vqp"\n', "max_vqp 5.18"),
        (FEATURES, "pci/0000:65:00.2", "kernel answers: Invalid argument\n", "does not offer all of these features"),
        (VdpaAttributes(), "vduse", "kernel answers: Invalid argument\n", "has to set up its queues first"),
        (
            VdpaAttributes(),
            "pci/0000:65:00.2",
            "kernel answers: No space left on device\n",
            "as many devices as it can",
        ),
        (VdpaAttributes(), "pci/0000:65:00.2", "kernel answers: File exists\n", "with no attributes: File exists."),
        (
            VdpaAttributes(),
            "pci/0000:65:00.2",
            "Error: vdpa: Fail to find the specified management device.\nkernel answers: No such device\n",
            "Fail to find the specified management device: No such device.",
        ),
        (VdpaAttributes(), "pci/0000:65:00.2", "", "exit code 255"),
    ],
)
def test_what_the_kernel_refuses(wanted, mgmtdev, err, told):
    transcript = Transcript()
    transcript.host._run = lambda *_: Completed(255, "", err)
    with pytest.raises(FastpathError) as refused:
        _vdpa_tool.add(transcript.host, "v0", mgmtdev, wanted)
    assert f"Cannot make vDPA device v0 on {mgmtdev} with " in refused.value.message
    assert told in refused.value.message


def test_removing_a_device():
    _vdpa_tool.delete(one("vdpa dev del v0"), "v0")
    err = "Error: vdpa: Only user created device can be deleted by user.\nkernel answers: Invalid argument\n"
    with pytest.raises(FastpathError, match="Cannot remove vDPA device v0: Only user created .*: Invalid argument."):
        _vdpa_tool.delete(one("vdpa dev del v0", err=err, rc=255), "v0")


@pytest.mark.parametrize(("rc", "there"), [(0, True), (1, True), (127, False)])
def test_whether_the_tool_is_there(rc, there):
    assert _vdpa_tool.has_tool(one("vdpa -V", rc=rc)) is there

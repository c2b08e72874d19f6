# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plugin's schema: what it would silently get wrong is refused here."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_schema import (
    check_config,
    check_selector,
    resource_name,
    resource_prefix,
)


def resource(**more: Any) -> dict[str, Any]:
    return {"resourceName": "p", "resourcePrefix": "example.com", "selectors": {"drivers": ["vfio-pci"]}, **more}


def said(config: Any) -> list[str]:
    return [str(problem) for problem in check_config(config)]


def said_of(selector: Any, device_type: str = "netDevice") -> list[str]:
    return [str(problem) for problem in check_selector(selector, device_type, "s")]


def test_every_selector_that_the_plugin_knows():
    everything = {
        "vendors": ["8086"],
        "devices": ["154c", "10ca"],
        "drivers": ["vfio-pci"],
        "pciAddresses": ["0000:81:10.0"],
        "acpiIndexes": ["101"],
        "pfNames": ["ens1f0#0-3,8", "ens1f1"],
        "rootDevices": ["0000:81:00.0#0"],
        "linkTypes": ["ether"],
        "ddpProfiles": ["GTPv1-C/U IPv4/IPv6 payload"],
        "pKeys": ["0x8001"],
        "isRdma": False,
        "needVhostNet": True,
        "vdpaType": "vhost",
    }
    assert said_of(everything) == []
    assert said_of({"vendors": ["8086"], "pciAddresses": ["0000:81:10.0"]}, "accelerator") == []
    assert said_of({"auxTypes": ["sf"], "pfNames": ["ens1f0#3"]}, "auxNetDevice") == []


@pytest.mark.parametrize(
    ("selector", "key", "words"),
    [
        ({"pfName": ["ens1"]}, "pfName", "Did you mean pfNames?"),
        ({"pfName": ["ens1"]}, "pfName", "it would take every device"),
        ({"auxTypes": ["sf"]}, "auxTypes", "only for auxNetDevice"),
        ({"vendors": "8086"}, "vendors", "must be a list"),
        ({"vendors": []}, "vendors", "at least one"),
        ({"vendors": [8086]}, "vendors", "has 8086"),
        ({"vendors": ["0x8086"]}, "vendors", "four lower-case hex digits"),
        ({"devices": ["154C"]}, "devices", "lower-case"),
        ({"drivers": [""]}, "drivers", "not empty"),
        ({"pciAddresses": ["81:10.0"]}, "pciAddresses", "full PCI address"),
        ({"pfNames": ["ens1#0, 2"]}, "pfNames", "has 'ens1#0, 2'"),
        ({"pfNames": ["ens1#1-2-3"]}, "pfNames", "has 'ens1#1-2-3'"),
        ({"pfNames": ["ens1##1"]}, "pfNames", "has 'ens1##1'"),
        ({"rootDevices": ["0000:81:00.0#5-2"]}, "rootDevices", "has '0000:81:00.0#5-2'"),
        ({"rootDevices": ["0000:81:00.0#0-1", "0000:81:00.0#3"]}, "rootDevices", "heeds only the first"),
        ({"linkTypes": ["ether", "infiniband"]}, "linkTypes", "the plugin takes one"),
        ({"isRdma": "yes"}, "isRdma", "true or false"),
        ({"vdpaType": "vhost_vdpa"}, "vdpaType", "vhost or virtio"),
        ({"vdpaType": "vhost", "isRdma": True}, "vdpaType", "cannot stand beside isRdma"),
    ],
)
def test_what_a_selector_must_not_say(selector, key, words):
    (problem, *_rest) = said_of(selector)
    assert problem.startswith(f"s.{key} = ")
    assert words in problem


def test_selectors_of_other_kinds_of_device():
    assert "is no selector for accelerator" in said_of({"pfNames": ["ens1"]}, "accelerator")[0]
    assert "auxTypes = None: is missing" in said_of({}, "auxNetDevice")[0]
    assert "must be a mapping" in said_of(["drivers"])[0]


def test_no_resource_is_a_right_configuration():
    assert said({"resourceList": []}) == []


def test_one_selector_or_several():
    assert said({"resourceList": [resource()]}) == []
    assert said({"resourceList": [resource(selectors=[{"drivers": ["a"]}, {"drivers": ["b"]}])]}) == []
    assert said({"resourceList": [resource(excludeTopology=True, additionalInfo={"*": {"a": "b"}})]}) == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([], "the one key resourceList"),
        ({"resourceList": [], "other": 1}, "the one key resourceList"),
        ({"resourceList": {}}, "must be a list of resources"),
        ({"resourceList": [1]}, "must be a mapping"),
        ({"resourceList": [resource(name="x")]}, "resourceList[0].name = 'x': is no known key"),
        ({"resourceList": [resource(resourceName="a.b")]}, "resourceName = 'a.b'"),
        ({"resourceList": [{"resourceName": "p", "selectors": {}}]}, "resourcePrefix = None"),
        ({"resourceList": [resource(excludeTopology=None)]}, "excludeTopology = None"),
        ({"resourceList": [resource(additionalInfo={"*": {"a": 1}})]}, "must be texts by device"),
        ({"resourceList": [resource(additionalInfo={"ens1": {"a": "b"}})]}, "must be texts by device"),
        ({"resourceList": [resource(deviceType="nic")]}, "must be one of accelerator, auxNetDevice, netDevice"),
        ({"resourceList": [resource(selectors=[])]}, "the plugin dies without"),
        ({"resourceList": [{"resourceName": "p", "resourcePrefix": "e.c"}]}, "the plugin dies without"),
        ({"resourceList": [resource(selectors=[{}, {"x": 1}])]}, "selectors[1].x"),
        ({"resourceList": [resource(), resource()]}, "is also in config.resourceList[0]"),
    ],
)
def test_what_a_configuration_must_not_be(config, words):
    assert any(words in problem for problem in said(config)), said(config)


@pytest.mark.parametrize("prefix", ["intel.com", "nfv.fastpath", "a", "x-1.example.org"])
def test_prefixes(prefix):
    assert resource_prefix(prefix) == prefix


@pytest.mark.parametrize(
    "prefix", ["", None, 7, "Intel.com", "intel.com/", "-a.b", "a..b", "a_b.c", "kubernetes.io", "x.k8s.io", "a" * 254]
)
def test_wrong_prefixes(prefix):
    with pytest.raises(read.Wrong):
        resource_prefix(prefix)


def test_names():
    assert resource_name("igb_dpdk-1") == "igb_dpdk-1"
    for wrong in ("", "a/b", "_a", "a-", "a" * 64, 3, None):
        with pytest.raises(read.Wrong):
            resource_name(wrong)

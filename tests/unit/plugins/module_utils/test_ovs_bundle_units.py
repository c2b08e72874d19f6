# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units and links of an Open vSwitch that was built from source."""

from __future__ import annotations

import configparser

from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_units import ovs_links, ovs_units


def parsed():
    units = {}
    for path, text in ovs_units().items():
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str
        unit.read_string(text)
        units[path.rsplit("/", 1)[-1]] = unit
    return units


def test_names_and_order():
    units = parsed()
    assert set(units) == {"ovsdb-server.service", "ovs-vswitchd.service"}
    switch = units["ovs-vswitchd.service"]
    assert switch["Unit"]["Requires"] == "ovsdb-server.service"
    assert {"ovsdb-server.service", "fastpath-hugepages.service"} <= set(switch["Unit"]["After"].split())


def test_everything_goes_through_the_current_bundle():
    for unit in parsed().values():
        for key in ("ExecStart", "ExecStop", "ExecReload"):
            assert unit["Service"][key].startswith(
                "/opt/fastpath/openvswitch/current/share/openvswitch/scripts/ovs-ctl "
            )
        assert unit["Service"]["Type"] == "forking"
    assert all(target.startswith("/opt/fastpath/openvswitch/current/bin/ovs") for target in ovs_links().values())


def test_only_the_switch_may_lock_memory_without_limit():
    units = parsed()
    assert units["ovs-vswitchd.service"]["Service"]["LimitMEMLOCK"] == "infinity"
    assert "LimitMEMLOCK" not in units["ovsdb-server.service"]["Service"]

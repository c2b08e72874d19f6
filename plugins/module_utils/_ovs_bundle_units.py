# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. systemd units and links for an Open vSwitch that was built from source. No I/O.

They have the names that the distributions use, in the folder that goes before the distribution's: with our files there
the built one runs, without them the packaged one, and everything that waits for these units need not know which.
"""

from __future__ import annotations

from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import ROOT

CURRENT = f"{ROOT}/openvswitch/current"
CONTROL = f"{CURRENT}/share/openvswitch/scripts/ovs-ctl"
UNITS = "/etc/systemd/system"
SERVER = "ovsdb-server.service"
SWITCH = "ovs-vswitchd.service"
LINKS = "/usr/local/bin"
COMMANDS = (
    "bin/ovs-appctl",
    "bin/ovs-dpctl",
    "bin/ovs-ofctl",
    "bin/ovs-vsctl",
    "bin/ovsdb-client",
    "bin/ovsdb-tool",
)
_HEADER = "# Written by nfv.fastpath.\n"


def ovs_units() -> dict[str, str]:
    """Unit files by path."""
    return {f"{UNITS}/{SERVER}": _HEADER + _server(), f"{UNITS}/{SWITCH}": _HEADER + _switch()}


def ovs_links() -> dict[str, str]:
    """Links by path: the tools that talk to the built daemons must be of their version."""
    return {f"{LINKS}/{command.rsplit('/', 1)[-1]}": f"{CURRENT}/{command}" for command in COMMANDS}


def ovs_enablement() -> dict[str, str]:
    """Links by path that have the units started at boot."""
    return {f"{UNITS}/multi-user.target.wants/{unit}": f"{UNITS}/{unit}" for unit in (SERVER, SWITCH)}


def _server() -> str:
    return f"""\
[Unit]
Description=Open vSwitch database (built from source)
After=local-fs.target network-pre.target
Before=network.target network.service
PartOf=openvswitch-switch.service

[Service]
Type=forking
PIDFile=/run/openvswitch/ovsdb-server.pid
Restart=on-failure
LimitNOFILE=65535
RuntimeDirectory=openvswitch
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
LogsDirectory=openvswitch
EnvironmentFile=-/etc/default/openvswitch-switch
ExecStart={CONTROL} --no-ovs-vswitchd --no-monitor --system-id=random --no-record-hostname start $OVS_CTL_OPTS
ExecStop={CONTROL} --no-ovs-vswitchd stop
ExecReload={CONTROL} --no-ovs-vswitchd --no-monitor --no-record-hostname restart $OVS_CTL_OPTS

[Install]
WantedBy=multi-user.target
"""


def _switch() -> str:
    """Starting may take long: a minute and more goes by while the kernel clears many hugepages."""
    return f"""\
[Unit]
Description=Open vSwitch with DPDK (built from source)
After=local-fs.target network-pre.target systemd-udev-settle.service fastpath-hugepages.service {SERVER}
Before=network.target network.service
Requires={SERVER}
PartOf=openvswitch-switch.service

[Service]
Type=forking
PIDFile=/run/openvswitch/ovs-vswitchd.pid
Restart=on-failure
TimeoutStartSec=300
TimeoutStopSec=60
LimitNOFILE=1048576
LimitMEMLOCK=infinity
EnvironmentFile=-/etc/default/openvswitch-switch
ExecStart={CONTROL} --no-ovsdb-server --no-monitor --no-record-hostname start $OVS_CTL_OPTS
ExecStop={CONTROL} --no-ovsdb-server stop
ExecReload={CONTROL} --no-ovsdb-server --no-monitor --no-record-hostname restart $OVS_CTL_OPTS

[Install]
WantedBy=multi-user.target
"""

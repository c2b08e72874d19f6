# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The vDPA concern: devices on the kernel's vDPA bus, for the module and for the boot engine."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa, _vdpa_features
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import VHOST_VDPA
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_ahead import foreseen
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_apply import VdpaWork
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_discovery import module_states, read_vdpa
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_state import (
    NETWORK,
    Target,
    VdpaDesired,
    VdpaDevice,
    VdpaState,
    differences,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_targets import find_targets
from ansible_collections.nfv.fastpath.plugins.module_utils._vhost_vdpa import USABLE, Answer, Ioctl, check_node

APPLY = "Run the vdpa role again"
INTERFACE = "a network interface"


class VdpaConcern(Concern[VdpaState, VdpaDesired]):
    """Spec: the list of devices, or ``{"devices": [...], "sriov": [...]}`` where VFs are yet to be made.

    ``looking_ahead``: nothing will be done, so VFs may be missing. ``booting``: programs behind VDUSE may come later.
    """

    name = "vdpa"

    def __init__(
        self,
        host: Host,
        ssh_connection: str = "",
        looking_ahead: bool = False,
        booting: bool = False,
        ioctl: Ioctl = fcntl.ioctl,
    ) -> None:
        super().__init__(host)
        self.ssh_connection = ssh_connection
        self.looking_ahead = looking_ahead
        self.booting = booting
        self._ioctl = ioctl
        self._work = VdpaWork(host, self.store)

    def parse(self, spec: Any) -> VdpaDesired:
        return _vdpa.parse_desired(spec)

    def stored(self, spec: Any) -> Any:
        """A boot comes after the VFs."""
        return spec["devices"] if isinstance(spec, dict) else spec

    def discover(self) -> VdpaState:
        return read_vdpa(self.host, self.store.record(), self.ssh_connection)

    def plan(self, current: VdpaState, desired: VdpaDesired) -> Plan:
        if self.looking_ahead:
            current = foreseen(current, desired)
        modules = module_states(self.host, _vdpa.needed_modules(current, desired, self.looking_ahead))
        return _vdpa.plan(replace(current, modules=modules), desired, self.looking_ahead, self.booting)

    def plan_teardown(self, current: VdpaState) -> Plan:
        return _vdpa.plan_teardown(current)

    def record(self, current: VdpaState, plan: Plan) -> dict[str, Any]:
        return _vdpa.record(current, plan)

    def perform(self, operation: Operation) -> None:
        self._work.perform(operation)

    def check(self, current: VdpaState, desired: VdpaDesired) -> list[Check]:
        targets, problems = find_targets(current, desired)
        checks = [
            Check("vdpa.spec", self.name, problem.variable, "a function", str(problem.value), problem.message)
            for problem in problems
        ]
        for target in targets:
            have = current.device(target.name)
            checks += self._device_checks(current, target, have) + (self._use_checks(target, have) if have else [])
        return checks

    def _device_checks(self, current: VdpaState, target: Target, have: VdpaDevice | None) -> list[Check]:
        place = have and (target.place if have.lies_on(target) else have.place)
        checks = [Check("vdpa.device", self.name, target.name, target.place, place, APPLY)]
        asked = {name: value for name, value in target.attributes.given().items() if name != "features"}
        if have and asked:
            found = differences(have, current.made.get(target.name), replace(target.attributes, features=None))
            seen = {name: found[name][0] if name in found else value for name, value in asked.items()}
            checks.append(Check("vdpa.attributes", self.name, target.name, asked, seen, APPLY))
        driver = have.driver if have else None
        remedy = "Look for driverctl, udev rules or an operator that changes it too, then run the vdpa role again"
        return [*checks, Check("vdpa.driver", self.name, target.name, target.bus, driver, remedy)]

    def _use_checks(self, target: Target, have: VdpaDevice) -> list[Check]:
        """Whether a program, or the kernel's own network, can have it."""
        if have.driver != target.bus:
            return []
        if target.bus != VHOST_VDPA:
            astray = any(use.startswith("netns:") for use in have.uses)
            seen = INTERFACE if have.netdevs or astray or have.kind != NETWORK else "none"
            remedy = "See the kernel's log (dmesg) for virtio_net"
            return [Check("vdpa.netdev", self.name, target.name, INTERFACE, seen, remedy)]
        answer = Answer("it has no device file")
        if have.node:
            answer = check_node(self.host, have.node, have.kind == NETWORK, self._ioctl)
        remedy = "Switch the IOMMU on (fastpath_kernel_args), and see the kernel's log (dmesg)"
        checks = [Check("vdpa.node", self.name, target.name, USABLE, answer.seen, remedy)]
        if target.attributes.features is not None and answer.features is not None:
            wanted, offered = map(_vdpa_features.names, (target.attributes.features, answer.features))
            checks.append(Check("vdpa.features", self.name, target.name, wanted, offered, APPLY))
        return checks

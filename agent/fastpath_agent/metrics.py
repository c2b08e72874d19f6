# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's state in Prometheus' text format. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fastpath_agent.model import DeviceState, SocketLease

STATES = ("ready", "leased", "starting", "recycling", "failed", "unusable", "absent")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Metric:
    """One metric family. ``samples``: labels and value."""

    name: str
    kind: str
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def lines(self) -> list[str]:
        found = [f"# HELP {self.name} {_help(self.help)}", f"# TYPE {self.name} {self.kind}"]
        for labels, value in self.samples:
            pairs = ",".join(f'{key}="{_label(text)}"' for key, text in labels.items())
            found.append(f"{self.name}{{{pairs}}} {_number(value)}" if pairs else f"{self.name} {_number(value)}")
        return found


def render(metrics: Iterable[Metric]) -> str:
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def of_devices(states: Iterable[DeviceState], leases: Iterable[SocketLease]) -> list[Metric]:
    """Sockets, pods and the health of what is behind them."""
    state = Metric("fastpath_agent_device_state", "gauge", "1 for the state that a device is in.")
    restarts = Metric(
        "fastpath_agent_device_failures_total", "counter", "How often the process behind a device failed."
    )
    connected = Metric("fastpath_agent_device_connected", "gauge", "1 while a pod is connected to the socket.")
    owners = Metric("fastpath_agent_lease_info", "gauge", "1 for each socket that a pod has.")
    for device in states:
        labels = {"device": device.device, "backend": device.backend, "pool": device.pool}
        state.samples += [({**labels, "state": name}, float(device.state == name)) for name in STATES]
        restarts.samples.append((labels, float(device.restarts)))
        if device.connected is not None:
            connected.samples.append((labels, float(device.connected)))
    for lease in leases:
        owner = lease.owner
        labels = {"device": lease.device, "namespace": owner.namespace, "pod": owner.pod, "interface": owner.ifname}
        owners.samples.append((labels, 1.0))
    return [state, restarts, connected, owners]


def single(name: str, kind: str, text: str, value: float) -> Metric:
    return Metric(name, kind, text, [({}, value)])


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _label(text: str) -> str:
    return _help(text).replace('"', '\\"')

# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Gathers who uses PCI functions: interfaces, routes, connections, device files, namespaces.

Each look costs in proportion to the node, so it is taken only where something could be found.
"""

from __future__ import annotations

import ipaddress
import os
import re
import struct
from collections.abc import Iterator

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import Link, links, links_and_default_routes
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import function_of, read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import Facts, Handle, with_uses

SSH_PORT = 22
ESTABLISHED = "01"
MAX_NAMESPACES = 512
NETNS_FOLDER = "/run/netns"
UNKNOWN_NAMESPACE = "unknown"
# Drivers that make no network interface out of a network function.
WITHOUT_NETDEV = ("vfio-pci", "uio_pci_generic", "igb_uio", "vp-vdpa", "pcieport")
_HANDLE = re.compile(r"/dev/(vfio/(?!vfio$).+|uio\d+|vhost-vdpa-\d+)$")


def discover_pci(host: Host, ssh_connection: str = "") -> tuple[PciDevice, ...]:
    """Every PCI function with its users. ``ssh_connection``: the variable of that name, if the caller has it."""
    devices = read_pci(host)
    return with_uses(devices, gather(host, devices, ssh_connection))


def gather(host: Host, devices: tuple[PciDevice, ...], ssh_connection: str = "") -> Facts:
    interfaces, default_routes = links_and_default_routes(host)
    return Facts(
        links=interfaces,
        default_routes=default_routes,
        ssh_addresses=_ssh_addresses(host, ssh_connection),
        handles=_handles(host),
        vfio_devices=_addresses_by_name(host, "/sys/class/vfio-dev"),
        uio_devices=_addresses_by_name(host, "/sys/class/uio"),
        vhost_vdpa=_vhost_vdpa(host, devices),
        elsewhere=_elsewhere(host, devices),
    )


def _processes(host: Host) -> Iterator[int]:
    for name in host.listdir("/proc"):
        if name.isdigit():
            yield int(name)


def _process_name(host: Host, pid: int) -> str:
    return f"{pid} ({host.read_value(f'/proc/{pid}/comm') or '?'})"


def _handles(host: Host) -> tuple[Handle, ...]:
    """Open device files of user-space drivers, from one pass over all processes."""
    device_files = host.listdir("/dev/vfio") + [name for name in host.listdir("/dev") if _HANDLE.match(f"/dev/{name}")]
    if not [name for name in device_files if name != "vfio"]:
        return ()
    found = []
    for pid in _processes(host):
        folder = f"/proc/{pid}/fd"
        opened = {host.link_target(f"{folder}/{descriptor}") or "" for descriptor in _names(host, folder)}
        for path in sorted(path for path in opened if _HANDLE.match(path)):
            found.append(Handle(path, _process_name(host, pid)))
    return tuple(found)


def _names(host: Host, folder: str) -> list[str]:
    """A process may end while it is looked at; one that may not be looked at could have any device open."""
    try:
        return host.listdir(folder)
    except ProcessLookupError:
        return []
    except PermissionError as error:
        raise FastpathError(f"{folder} may not be read, so who uses a device cannot be seen: become root") from error


def _addresses_by_name(host: Host, folder: str) -> dict[str, str]:
    """PCI address by the name of a class device."""
    found = {name: function_of(host, f"{folder}/{name}") for name in host.listdir(folder)}
    return {name: address for name, address in found.items() if address}


def _vhost_vdpa(host: Host, devices: tuple[PciDevice, ...]) -> dict[str, str]:
    """vDPA device by the name of its device file."""
    found = {}
    for device in devices:
        for vdpa in device.vdpa_devices:
            for name in host.listdir(f"/sys/bus/vdpa/devices/{vdpa}"):
                if name.startswith("vhost-vdpa-"):
                    found[name] = vdpa
    return found


def _ssh_addresses(host: Host, ssh_connection: str) -> tuple[str, ...]:
    """Addresses of this node that an ssh connection ends at.

    sudo strips SSH_CONNECTION from the environment, so the processes above this one are asked too; and any
    open connection to port 22 counts, because the administrator may watch through another one.
    """
    found = {_server(ssh_connection)}
    pid = os.getpid()
    for _generation in range(64):
        environment = (host.read(f"/proc/{pid}/environ") or "").split("\0")
        found |= {_server(item[len("SSH_CONNECTION=") :]) for item in environment if item.startswith("SSH_CONNECTION=")}
        pid = _parent(host, pid)
        if pid <= 1:
            break
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        found |= _connected(host.read(table) or "", SSH_PORT)
    return tuple(sorted(address for address in found if address and not ipaddress.ip_address(address).is_loopback))


def _server(ssh_connection: str) -> str:
    """The third word of SSH_CONNECTION, without the zone of a link-local address."""
    words = ssh_connection.split()
    if len(words) != 4:
        return ""
    try:
        return str(ipaddress.ip_address(words[2].partition("%")[0]))
    except ValueError:
        return ""


def _parent(host: Host, pid: int) -> int:
    """Field 4 of /proc/PID/stat, counted after the command's closing bracket: it may hold blanks."""
    fields = (host.read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _connected(table: str, port: int) -> set[str]:
    """Local addresses of established connections to a port in a table of /proc/net."""
    suffix = f":{port:04X}"
    found = set()
    for line in table.splitlines()[1:]:
        words = line.split(None, 4)
        if len(words) > 3 and words[3] == ESTABLISHED and words[1].endswith(suffix):
            found.add(_kernel_address(words[1][: -len(suffix)]))
    return found


def _kernel_address(text: str) -> str:
    """An address as /proc/net prints it: 32-bit words, each in the byte order of the machine."""
    raw = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _elsewhere(host: Host, devices: tuple[PciDevice, ...]) -> dict[str, str]:
    """Network functions whose interface is in another network namespace, and which one that is."""
    missing = {device.address for device in devices if _lacks_netdev(device)}
    virtio = _addresses_by_name(host, "/sys/bus/virtio/devices") if missing else {}
    found: dict[str, str] = {}
    namespaces = _namespaces(host) if missing else []
    told = len(namespaces) <= MAX_NAMESPACES
    for doors in namespaces[:MAX_NAMESPACES]:
        door, inside = _inside(host, doors)
        told = told and inside is not None and all(link.parent or link.kind or link.name == "lo" for link in inside)
        parents = {virtio.get(link.parent, link.parent) for link in inside or () if link.parent}
        found.update(dict.fromkeys(parents & missing, _named(host, door)))
        if missing <= set(found):
            return found
    # A kernel before 5.14 or an older ip does not tell the parent of an interface, and what cannot be entered tells
    # nothing: then nobody can be ruled out.
    return found if told else {**dict.fromkeys(missing, UNKNOWN_NAMESPACE), **found}


def _inside(host: Host, doors: list[str]) -> tuple[str, tuple[Link, ...] | None]:
    """The first door of a namespace that opens, and the links behind it; None where none does.

    Where all doors are gone the namespace ended meanwhile, and has nothing in it any more.
    """
    for path in doors:
        try:
            return path, links(host, ("nsenter", f"--net={path}", "--"))
        except FastpathError:
            continue
    shut = any(os.path.lexists(host.path(path)) for path in doors)
    return doors[0], None if shut else ()


def _lacks_netdev(device: PciDevice) -> bool:
    network = (device.class_id or "").startswith("02")
    return network and device.driver not in (None, *WITHOUT_NETDEV) and not device.netdevs


def _named(host: Host, door: str) -> str:
    process = re.fullmatch(r"/proc/(\d+)/ns/net", door)
    return _process_name(host, int(process[1])) if process else door


def _namespaces(host: Host) -> list[list[str]]:
    """Every other network namespace as paths that lead into it; those below /run/netns come first."""
    own = host.link_target("/proc/self/ns/net") or ""
    found: dict[str, list[str]] = {own: []}
    for name in host.listdir(NETNS_FOLDER):
        path = f"{NETNS_FOLDER}/{name}"
        try:
            identity = f"net:[{os.stat(host.path(path)).st_ino}]"
        except FileNotFoundError:
            continue
        found.setdefault(identity, []).append(path)
    for pid in _processes(host):
        identity = host.link_target(f"/proc/{pid}/ns/net") or own
        found.setdefault(identity, []).append(f"/proc/{pid}/ns/net")
    del found[own]
    return list(found.values())

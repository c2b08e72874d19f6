# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A request as it comes from the shim: decoded and checked before anything else sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from fastpath_agent.cni.errors import DECODING_FAILURE, INVALID_CONFIG, INVALID_ENVIRONMENT, CniError
from fastpath_agent.cni.fields import PLAIN
from fastpath_agent.cni.versions import negotiated
from fastpath_agent.protocol import PLUGINS

# Names that go into file names, ports of a switch and comma-separated arguments of EAL: nothing to quote in them.
CONTAINER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
INTERFACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
NETWORK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
# A path that goes to another program or back to the runtime.
PATH = re.compile(r"/[^\x00-\x1f\x7f]{0,4094}")
DNS_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
UID = re.compile(r"[A-Za-z0-9-]{1,64}")
NEEDED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "STATUS": (),
    "GC": (),
}
FORMS = {
    "CNI_CONTAINERID": CONTAINER_ID,
    "CNI_IFNAME": INTERFACE_NAME,
    "CNI_NETNS": PATH,
    "K8S_POD_NAMESPACE": DNS_NAME,
    "K8S_POD_NAME": DNS_NAME,
    "K8S_POD_UID": UID,
}
PASSED_ON = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH", "CNI_NETNS_OVERRIDE")
SHORT_ID = 12


@dataclass(frozen=True)
class Request:
    """``environment``: the CNI variables as they came, for a delegated plugin. ``args``: CNI_ARGS taken apart."""

    command: str
    plugin: str
    version: str
    network: str
    netconf: Mapping[str, Any]
    container_id: str = ""
    ifname: str = ""
    netns: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def short_id(self) -> str:
        """How file and port names shorten a container's identifier; a short one stays as it is."""
        return self.container_id[:SHORT_ID]

    @property
    def port_name(self) -> str:
        return f"{self.short_id}-{self.ifname}"

    @property
    def namespace(self) -> str:
        return self.args.get("K8S_POD_NAMESPACE", "")

    @property
    def pod(self) -> str:
        return self.args.get("K8S_POD_NAME", "")

    @property
    def uid(self) -> str:
        return self.args.get("K8S_POD_UID", "")

    @property
    def where(self) -> str:
        """For messages and logs."""
        whose = f"pod {self.namespace}/{self.pod} " if self.pod else ""
        return f"{self.plugin} {self.command} {whose}container {self.short_id} interface {self.ifname}"


def decode(text: str | bytes) -> Any:
    """JSON from outside; whatever is wrong with it is one kind of error, also what Python is too deep for."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as broken:
        raise CniError(DECODING_FAILURE, f"not valid JSON: {str(broken)[:200]}") from broken


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def parse_request(message: Mapping[str, Any]) -> Request:
    """The shim's message. The configuration comes as text or as an object."""
    command, plugin = message.get("command"), message.get("plugin")
    if not isinstance(command, str) or command not in NEEDED:
        raise CniError(INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {command!r}"[:200])
    if plugin not in PLUGINS:
        raise CniError(INVALID_CONFIG, f"unknown plugin {plugin!r}; there are {', '.join(PLUGINS)}"[:200])
    netconf = message.get("netconf")
    if isinstance(netconf, str):
        netconf = decode(netconf)
    if not isinstance(netconf, dict):
        raise CniError(DECODING_FAILURE, "the network configuration is no JSON object")
    version = negotiated(netconf.get("cniVersion"), command)
    environment = _environment(message.get("env"))
    args = _arguments(environment.get("CNI_ARGS", ""))
    _check_variables(command, environment, args)
    return Request(
        command=command,
        plugin=str(plugin),
        version=version,
        network=_network_name(netconf),
        netconf=netconf,
        container_id=environment.get("CNI_CONTAINERID", ""),
        ifname=environment.get("CNI_IFNAME", ""),
        netns=environment.get("CNI_NETNS", ""),
        args=args,
        environment=environment,
    )


def _environment(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise CniError(INVALID_ENVIRONMENT, "the request carries no CNI variables")
    found = {}
    for name in PASSED_ON:
        text = value.get(name, "")
        if not isinstance(text, str) or not PLAIN.fullmatch(text):
            raise CniError(INVALID_ENVIRONMENT, f"{name} is no text without control characters")
        if text:
            found[name] = text
    return found


def _arguments(text: str) -> dict[str, str]:
    """CNI_ARGS; a key that comes twice is the last one, as in the reference library."""
    found = {}
    for pair in filter(None, text.split(";")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CniError(INVALID_ENVIRONMENT, f"CNI_ARGS: {pair[:60]!r} is not KEY=VALUE")
        found[key] = value
    return found


def _check_variables(command: str, environment: Mapping[str, str], args: Mapping[str, str]) -> None:
    missing = [name for name in NEEDED[command] if not environment.get(name)]
    if missing:
        raise CniError(INVALID_ENVIRONMENT, f"required env variables [{','.join(missing)}] missing")
    given = {**environment, **args}
    wrong = [name for name, form in FORMS.items() if given.get(name) and not form.fullmatch(given[name])]
    if wrong:
        told = "; ".join(f"{name}={given[name][:60]!r} does not match {FORMS[name].pattern}" for name in wrong)
        raise CniError(INVALID_ENVIRONMENT, f"invalid env variables: {told}")


def _network_name(netconf: Mapping[str, Any]) -> str:
    name = netconf.get("name")
    if not isinstance(name, str) or not NETWORK_NAME.fullmatch(name):
        raise CniError(INVALID_CONFIG, f"invalid network name {name!r}: letters, digits, '_', '.' and '-'"[:200])
    return name

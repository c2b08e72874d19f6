# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A CNI plugin that hands each request to the node agent; installed as ``vdpa``, ``userspace`` and ``vhostuser``.

It runs for each pod and each interface, so its own start is most of what it costs: it imports no more than it needs,
and leaves JSON to the agent where it can. The answer comes ready to print.
"""

import os
import sys
import time

try:
    # The half of the module ``socket`` that is written in C: the other half takes longer to import than a request.
    import _socket as socket
except ImportError:
    import socket  # type: ignore[no-redef]

VERSION = "0.1.0"
SOCKET = "/run/fastpath/agent/cni.sock"
ANSWER_SECONDS = 60.0
INPUT_SECONDS = 10.0
MAX_BYTES = 1 << 20
SUPPORTED = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
VARIABLES = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH")
GOOD, BAD = b'{"ok":true,"result":', b'{"ok":false,"error":'
IO_FAILURE, TRY_AGAIN_LATER, NOT_AVAILABLE, INTERNAL = 5, 11, 50, 999
ESCAPES = {number: f"\\u{number:04x}" for number in range(32)}
ESCAPES.update({34: '\\"', 92: "\\\\"})


class Failure(Exception):
    """What the agent could not say itself."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.details = details


def main() -> int:
    name = os.path.basename(sys.argv[0])
    command = os.environ.get("CNI_COMMAND", "")
    if not command:
        sys.stderr.write(f"CNI plugin {name} v{VERSION}\nCNI protocol versions supported: {', '.join(SUPPORTED)}\n")
        return 0
    netconf = b""
    try:
        netconf = read_input()
        if command == "VERSION":
            return output(version_text(netconf), 0)
        return output(*answer_of(ask(request(name, command, netconf), command)))
    except Failure as failure:
        return output(error_text(netconf, failure), 1)
    except Exception as error:
        # The runtime understands nothing but JSON.
        return output(error_text(netconf, Failure(INTERNAL, f"{type(error).__name__}: {error}")), 1)


def read_input() -> bytes:
    """The network configuration. Whoever gives none, or never closes it, gets an error in time."""
    import select

    deadline = time.monotonic() + INPUT_SECONDS
    received = b""
    while len(received) <= MAX_BYTES:
        ready = select.select([0], [], [], max(0.0, deadline - time.monotonic()))[0]
        if not ready:
            raise Failure(IO_FAILURE, "the network configuration on standard input did not end in time")
        try:
            part = os.read(0, 1 << 16)
        except OSError as error:
            raise Failure(IO_FAILURE, "the network configuration cannot be read", str(error)) from error
        if not part:
            return received
        received += part
    raise Failure(IO_FAILURE, f"the network configuration is longer than {MAX_BYTES} bytes")


def request(name: str, command: str, netconf: bytes) -> bytes:
    """The configuration goes as one text: whatever stands in it cannot become another part of the request."""
    variables = ",".join(f"{quoted(key)}:{quoted(os.environ[key])}" for key in VARIABLES if os.environ.get(key))
    return (
        f'{{"command":{quoted(command)},"plugin":{quoted(name)},'
        f'"netconf":{quoted(netconf.decode("utf-8", "backslashreplace"))},"env":{{{variables}}}}}\n'
    ).encode("utf-8", "backslashreplace")


def quoted(text: str) -> str:
    """A JSON string. Bytes that are no UTF-8 become halves of characters, which the agent refuses."""
    return '"' + text.translate(ESCAPES) + '"'


def ask(message: bytes, command: str) -> bytes:
    deadline = time.monotonic() + ANSWER_SECONDS
    received = b""
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connect(connection, deadline)
            connection.sendall(message)
            while not received.endswith(b"\n"):
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                part = connection.recv(1 << 16)
                if not part:
                    raise OSError("it hung up before its answer was whole")
                received += part
        finally:
            connection.close()
    except OSError as error:
        # STATUS has a code of its own for a plugin that cannot serve an ADD.
        raise Failure(
            NOT_AVAILABLE if command == "STATUS" else TRY_AGAIN_LATER,
            "the node agent of nfv.fastpath does not answer",
            f"{SOCKET}: {error or type(error).__name__}. Is the agent's pod running on this node?",
        ) from error
    return received


def connect(connection: "socket.socket", deadline: float) -> None:
    connection.settimeout(max(0.001, deadline - time.monotonic()))
    while True:
        try:
            return connection.connect(SOCKET)
        except BlockingIOError:
            # More requests wait than the agent's queue has room for.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def answer_of(line: bytes) -> "tuple[bytes, int]":
    """What to print, and the exit code."""
    if line.startswith(GOOD) and line.endswith(b"}\n"):
        text = line[len(GOOD) : -2]
        return (b"" if text == b"{}" else text), 0
    if line.startswith(BAD) and line.endswith(b"}\n"):
        return line[len(BAD) : -2], 1
    raise Failure(TRY_AGAIN_LATER, "the node agent gave no answer that can be understood", repr(line[:200]))


def version_text(netconf: bytes) -> bytes:
    versions = ",".join(quoted(version) for version in SUPPORTED)
    return f'{{"cniVersion":{quoted(asked_version(netconf))},"supportedVersions":[{versions}]}}'.encode()


def error_text(netconf: bytes, failure: Failure) -> bytes:
    details = f',"details":{quoted(failure.details)}' if failure.details else ""
    version = quoted(asked_version(netconf))
    text = f'{{"cniVersion":{version},"code":{failure.code},"msg":{quoted(str(failure))}{details}}}'
    return text.encode("utf-8", "backslashreplace")


def asked_version(netconf: bytes) -> str:
    """The configuration's version of the specification, if it is one that is spoken here."""
    import json

    try:
        version = json.loads(netconf)["cniVersion"]
    except (ValueError, KeyError, TypeError, RecursionError):
        version = ""
    return version if version in SUPPORTED else SUPPORTED[-1]


def output(text: bytes, code: int) -> int:
    """Written whole; the runtime that does not listen any more hears nothing of it."""
    text += b"\n" if text else b""
    try:
        while text:
            text = text[os.write(1, text) :]
    except OSError:
        return 1
    return code


if __name__ == "__main__":
    # Taking the interpreter apart again takes time, and nothing is left to be flushed.
    os._exit(main())

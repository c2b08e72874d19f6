# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets programs outside of a lab's network reach its API server. A script: NETNS PORT HOST PORT.

It listens on the machine's loopback address and, under the same port, on that of the lab: one kubeconfig is right on
both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import sandbox

_BLOCK = 65536


def listener(port: int) -> socket.socket:
    """Return a socket that listens on the loopback address of the network that we are in."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(64)
    return made


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def serve(listeners: list[socket.socket], host: str, port: int) -> None:
    """Carry every connection to the server, until this program is ended."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            other_reader, other_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, other_writer), _pump(other_reader, writer))
        for end in (writer, other_writer):
            end.close()

    servers = [await asyncio.start_server(carry, sock=one) for one in listeners]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Entry point of the script form."""
    netns, door, host, port = sys.argv[1:]
    outside = listener(int(door))
    sandbox.enter_network(f"/run/netns/{netns}")
    asyncio.run(serve([outside, listener(int(door))], host, int(port)))


if __name__ == "__main__":
    main()

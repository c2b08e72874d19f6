# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door to a server in another network, with both in the same one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab/fastpath_lab"))

from fastpath_lab import door


async def answer(reader, writer):
    """Say back all that came, in capitals, once the other side has said that this is all."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


async def ask(port, text):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    writer.write_eof()
    found = await reader.read()
    writer.close()
    return found


async def through(doors, talk):
    """Run ``talk`` with the ports of some doors before one server."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    listeners = [door.listener(0) for _number in range(doors)]
    ports = [one.getsockname()[1] for one in listeners]
    task = asyncio.create_task(door.serve(listeners, "127.0.0.1", server.sockets[0].getsockname()[1]))
    try:
        return await talk(ports, server)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        server.close()


def test_every_door_leads_there():
    async def talk(ports, server):
        return await asyncio.gather(*(ask(port, b"word" * 50000) for port in ports))

    assert asyncio.run(through(2, talk)) == [b"WORD" * 50000] * 2


def test_many_at_once_are_not_mixed_up():
    async def talk(ports, server):
        return await asyncio.gather(*(ask(ports[0], f"word{number}".encode()) for number in range(50)))

    assert asyncio.run(through(1, talk)) == [f"WORD{number}".encode() for number in range(50)]


def test_a_server_that_is_away_closes_the_connection_and_no_more():
    async def talk(ports, server):
        server.close()
        await server.wait_closed()
        with contextlib.suppress(ConnectionError):
            assert await ask(ports[0], b"word") == b""
        return await asyncio.open_connection("127.0.0.1", ports[0])

    assert asyncio.run(through(1, talk))

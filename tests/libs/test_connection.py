"""A mark in what is sent is reached when the peer has acknowledged it, and lost when it never will."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libs.connection import EXTENSION, Connection, connection_of
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the system does not tell what has arrived")


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[asyncio.StreamWriter, socket.socket]]:
    """The server's side of a connection, and a client that reads nothing by itself."""
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _reader, writer: accepted.set_result(writer), "127.0.0.1", 0)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(server.sockets[0].getsockname())
        writer = await accepted
        try:
            yield writer, client
        finally:
            writer.transport.abort()
            server.close()


def mark_of(writer: asyncio.StreamWriter) -> Connection:
    assert isinstance(writer.transport, asyncio.Transport)
    return Connection(writer.transport)


async def test_a_mark_is_reached_when_all_before_it_was_acknowledged() -> None:
    async with pair() as (writer, client):
        writer.write(b"x" * 1_000_000)
        mark = mark_of(writer).mark()
        assert mark
        assert not mark.reached
        writer.write(b"y" * 1_000_000)  # what follows the mark does not count
        client.settimeout(30)
        received = 0
        while not mark.reached:
            received += len(await asyncio.to_thread(client.recv, 65536))
        assert 900_000 < received < 1_200_000
        assert not mark.lost
        mark.close()


async def test_a_mark_is_lost_with_a_peer_that_resets_the_connection() -> None:
    async with pair() as (writer, client):
        writer.write(b"x" * 1_000_000)
        mark = mark_of(writer).mark()
        assert mark
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        await until(lambda: mark.lost, "the connection is lost")
        assert not mark.reached
        mark.close()


async def test_a_mark_outlives_the_connection() -> None:
    async with pair() as (writer, client):
        writer.write(b"x" * 1000)
        connection = mark_of(writer)
        mark = connection.mark()
        assert mark
        assert client.recv(2000) == b"x" * 1000
        writer.close()
        await writer.wait_closed()
        await until(lambda: mark.reached, "what arrived is known")
        assert connection.mark() is None
        mark.close()


def test_another_server_tells_no_connection() -> None:
    assert connection_of({}) is None
    assert connection_of({"extensions": None}) is None
    assert connection_of({"extensions": {EXTENSION: "x"}}) is None

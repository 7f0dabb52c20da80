"""The sockets that the server listens at."""

import socket

import pytest

from v1.server.sockets import listen_together


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_written_to_a_client_is_sent_at_once(count: int):
    listeners = listen_together("127.0.0.1:0", count)

    for each in listeners:
        with each:
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_those_who_connect_have_it_from_the_socket_that_listens():
    (listener,) = listen_together("127.0.0.1:0", 1)

    with listener, socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

"""The socket that requests come in by."""

import socket

import pytest

from clinimm.errors import ConfigError
from services.server import bound


def test_answers_do_not_wait_for_the_acknowledgment_of_their_head() -> None:
    with bound("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as caller:
        taken, _ = listener.accept()
        with taken:
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert caller.recv(1) == b""


def test_address_that_is_taken_is_named() -> None:
    with bound("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"127.0.0.1:{port}: the address cannot be bound"),
            bound("127.0.0.1", port),
        ):
            pass

"""Messages as moshi.server puts them on the wire."""

from __future__ import annotations

import logging

import pytest

from voxtune.serving.protocol import ClientError, Kind, Message, decode, error, metadata, text


@pytest.mark.parametrize(
    ("message", "data"),
    [
        (Message(Kind.HANDSHAKE), b"\x00"),
        (Message(Kind.AUDIO, b"OggS"), b"\x01OggS"),
        (text(" 你好"), b"\x02 \xe4\xbd\xa0\xe5\xa5\xbd"),
        (Message(Kind.CONTROL, b"\x03"), b"\x03\x03"),
        (metadata("queue", 2), b'\x04{"queue": 2}'),
        (error("no"), b"\x05no"),
        (Message(Kind.PING), b"\x06"),
        (Message(Kind.COLOURED_TEXT, b"\x02hi"), b"\x07\x02hi"),
    ],
    ids=lambda value: value.kind.name if isinstance(value, Message) else "",
)
def test_bytes_and_back(message: Message, data: bytes) -> None:
    assert message.encode() == data
    assert decode(data) == message


def test_an_unknown_kind_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "voxtune"):
        assert decode(b"\x2a123") is None
    assert "unknown kind 42" in caplog.text


def test_an_empty_message_is_an_error() -> None:
    with pytest.raises(ClientError, match="empty"):
        decode(b"")

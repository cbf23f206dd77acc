"""The messages of a conversation: binary websocket messages whose first byte is their kind.

The same bytes as moshi.server's, so that its clients can talk to this server.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from enum import IntEnum

from voxtune.errors import VoxtuneError

log = logging.getLogger(__name__)


class Kind(IntEnum):
    """What a message is about. Audio is the next bytes of one Ogg Opus stream a side; text is UTF-8."""

    HANDSHAKE = 0
    AUDIO = 1
    TEXT = 2
    CONTROL = 3
    METADATA = 4
    ERROR = 5
    PING = 6
    COLOURED_TEXT = 7


class ClientError(VoxtuneError):
    """A client did what ends its conversation. The message is sent to it."""


@dataclass(frozen=True)
class Message:
    """One message. The payload of METADATA is a JSON object, that of HANDSHAKE is empty."""

    kind: Kind
    payload: bytes = b""

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return bytes([self.kind]) + self.payload


def decode(data: bytes) -> Message | None:
    """A message from its bytes; None (and a line in the log) for an unknown kind.

    Raises ClientError for an empty message.
    """
    if not data:
        raise ClientError("an empty message: its first byte must be the kind")
    try:
        return Message(Kind(data[0]), data[1:])
    except ValueError:
        log.warning("dropped a message of unknown kind %d, %d bytes", data[0], len(data))
        return None


def text(piece: str) -> Message:
    """A piece of what the model says; a leading space begins a word."""
    return Message(Kind.TEXT, piece.encode())


def error(reason: str) -> Message:
    """Why the conversation ends."""
    return Message(Kind.ERROR, reason.encode())


def metadata(topic: str, value: float) -> Message:
    """A number about the conversation, as {topic: value}.

    queue: place in the line, 1 = next; skipped: seconds of audio that came while the client waited; lag: seconds of
    audio that the model has not heard yet.
    """
    return Message(Kind.METADATA, json.dumps({topic: value}).encode())

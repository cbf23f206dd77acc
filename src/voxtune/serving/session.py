"""One client, from its connection to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from fastapi import WebSocket, WebSocketDisconnect

from voxtune.serving.hearing import Hearing
from voxtune.serving.line import WaitingLine
from voxtune.serving.model_thread import ModelError, ModelThread
from voxtune.serving.protocol import ClientError, Kind, Message, decode, error, metadata, text

log = logging.getLogger(__name__)

POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011


@dataclass(frozen=True)
class Limits:
    """When a client is told that it lags, and when it is given up.

    ping_interval, ping_timeout: seconds between the websocket's own pings, and how long their answer may take;
    quiet: seconds without audio (silence is audio), or without room in the connection for an answer; lag_step,
    longest_lag: seconds of audio that wait for the model; message_bytes: of one message.
    """

    ping_interval: float = 10.0
    ping_timeout: float = 10.0
    quiet: float = 30.0
    lag_step: float = 0.5
    longest_lag: float = 10.0
    message_bytes: int = 65536


class Session:
    """Waits in line, then talks until the client leaves or errs."""

    def __init__(self, websocket: WebSocket, line: WaitingLine, model: ModelThread, limits: Limits) -> None:
        self._websocket = websocket
        self._line = line
        self._model = model
        self._limits = limits
        self._hearing = Hearing(model.sample_rate, model.frame_size, limits.longest_lag)
        self._name = f"{websocket.client.host}:{websocket.client.port}" if websocket.client else "client"

    async def run(self) -> None:
        """Returns when the client is gone; what it did wrong is sent to it, then the connection is closed."""
        await self._websocket.accept()
        log.info("%s came", self._name)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._talk())  # first: who need not wait loses nothing of what is there already
                tasks.create_task(self._listen())
        except* (WebSocketDisconnect, ClientError, ModelError) as group:
            if group.subgroup(WebSocketDisconnect):
                log.info("%s left", self._name)
            else:
                await self._end(group.exceptions[0])

    async def _listen(self) -> None:
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(event["code"])
            data: bytes | None = event.get("bytes")
            if data is None:
                raise ClientError("a text message: messages are binary, their first byte is the kind")
            if len(data) > self._limits.message_bytes:
                raise ClientError(f"a message of {len(data)} bytes: {self._limits.message_bytes} is the limit")
            message = decode(data)
            if message is None:
                continue
            if message.kind is Kind.AUDIO:
                self._hearing.feed(message.payload)
            elif message.kind is Kind.PING:
                await self._send(message)
            else:
                log.debug("%s sent a message of kind %s, which has no meaning here", self._name, message.kind.name)

    async def _talk(self) -> None:
        async with self._line.turn(self._tell_place) as waited:
            self._hearing.open = True
            await self._model.reset()
            await self._send(Message(Kind.HANDSHAKE))
            if waited and self._hearing.skipped:
                await self._send(metadata("skipped", round(self._hearing.skipped, 2)))
            log.info("%s talks", self._name)
            start = time.monotonic()
            try:
                await self._converse()
            finally:
                log.info("%s talked for %.0f s", self._name, time.monotonic() - start)

    async def _converse(self) -> None:
        told = 0.0
        while True:
            try:
                async with asyncio.timeout(self._limits.quiet):
                    frame = await self._hearing.frame()
            except TimeoutError:
                raise ClientError(f"no audio for {self._limits.quiet:g} s") from None
            audio, piece = await self._model.step(frame)
            if audio:
                await self._send(Message(Kind.AUDIO, audio))
            if piece:
                await self._send(text(piece))
            if abs(self._hearing.lag - told) >= self._limits.lag_step:
                told = self._hearing.lag
                await self._send(metadata("lag", round(told, 2)))

    async def _tell_place(self, place: int) -> None:
        log.info("%s waits at place %d", self._name, place)
        await self._send(metadata("queue", place))

    async def _send(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._limits.quiet):
                await self._websocket.send_bytes(message.encode())
        except (TimeoutError, RuntimeError) as failure:  # it takes nothing any more, or its pings were not answered
            raise WebSocketDisconnect(INTERNAL_ERROR) from failure

    async def _end(self, reason: Exception) -> None:
        log.warning("%s: %s", self._name, reason)
        try:
            await self._send(error(str(reason)))
            await self._websocket.close(POLICY_VIOLATION if isinstance(reason, ClientError) else INTERNAL_ERROR)
        except (WebSocketDisconnect, RuntimeError):
            log.info("%s left before it was told", self._name)

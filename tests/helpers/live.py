"""A live conversation without a neural network: an honest partner, a server on a free port, a client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import sphn
import torch
from numpy.typing import NDArray
from torch import Tensor
from websockets.sync.client import ClientConnection, connect

from voxtune.families.family import Duplex
from voxtune.serving.protocol import Kind, Message, decode
from voxtune.serving.server import Address, Server
from voxtune.serving.session import Limits

RATE = 24000
FRAME = 1920
DELAY = 2
"""Frames until an EchoDuplex answers."""
LOUD = 0.01
"""Mean absolute sample from which on a frame is no silence."""
HERE = Address("127.0.0.1", 0)
PATIENCE = 60
"""Seconds after which a test gives up on what should happen at once."""


class EchoDuplex(Duplex):
    """Says what it hears, DELAY frames later, and the word " hello" whenever silence ends.

    heard: the frames of each conversation. gate: while it is cleared, every step waits.
    """

    sample_rate = RATE
    frame_size = FRAME

    def __init__(self) -> None:
        self.heard: list[list[Tensor]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None

    def reset(self) -> None:
        self.heard.append([])

    def step(self, waveform: Tensor) -> tuple[Tensor | None, str]:
        assert self.gate.wait(PATIENCE)
        if self.failure:
            raise self.failure
        frames = self.heard[-1]
        frames.append(waveform)
        onset = _loud(waveform) and not (len(frames) > 1 and _loud(frames[-2]))
        return frames[-1 - DELAY] if len(frames) > DELAY else None, " hello" if onset else ""

    def conversation(self, index: int = -1) -> NDArray[np.float32]:
        """All that was heard in one conversation; 0 is the warm-up."""
        return torch.cat(self.heard[index]).numpy()


def _loud(waveform: Tensor) -> bool:
    return bool(waveform.abs().mean() > LOUD)


@contextmanager
def serving(duplex: Duplex, limits: Limits | None = None, address: Address = HERE) -> Iterator[str]:
    """A server in a thread; yields the page's URL."""
    server = Server(address, limits)
    ready = threading.Event()
    thread = threading.Thread(target=server.run, args=(duplex, "a test", lambda step, frame: ready.set()))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield server.url
    finally:
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Client:
    """One side of a conversation, as moshi's own clients hold it: Opus pages out, messages in.

    lags: what the server told meanwhile.
    """

    def __init__(self, url: str) -> None:
        address = url.replace("http", "ws", 1) + "api/chat"
        # Entered at once and left by __exit__: a test may also drop the connection and never leave.
        self._connecting = connect(address, open_timeout=PATIENCE, ping_interval=None, close_timeout=PATIENCE)
        self.socket: ClientConnection = self._connecting.__enter__()
        self.lags: list[float] = []
        self._writer = sphn.OpusStreamWriter(RATE)
        self._reader = sphn.OpusStreamReader(RATE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def opus(self, waveform: NDArray[np.float32]) -> bytes:
        """The next bytes of the client's stream; the waveform in whole frames."""
        frames = np.split(waveform, range(FRAME, len(waveform), FRAME))
        return b"".join(self._writer.append_pcm(frame) for frame in frames)

    def say(self, waveform: NDArray[np.float32]) -> None:
        """Send it frame by frame."""
        for start in range(0, len(waveform), FRAME):
            self.socket.send(Message(Kind.AUDIO, self.opus(waveform[start : start + FRAME])).encode())

    def receive(self) -> Message:
        data = self.socket.recv(PATIENCE)
        assert isinstance(data, bytes)
        message = decode(data)
        assert message is not None
        return message

    def expect(self, kind: Kind) -> bytes:
        """The next message, which must be of this kind."""
        message = self.receive()
        assert message.kind is kind, message
        return message.payload

    def expect_metadata(self) -> dict[str, float]:
        return json.loads(self.expect(Kind.METADATA))

    def listen(self, samples: int) -> tuple[NDArray[np.float32], list[str]]:
        """Audio and text until this much audio has come."""
        waveform = np.zeros(0, dtype=np.float32)
        pieces = []
        while len(waveform) < samples:
            message = self.receive()
            if message.kind is Kind.AUDIO:
                waveform = np.concatenate((waveform, self._reader.append_bytes(message.payload)))
            elif message.kind is Kind.TEXT:
                pieces.append(message.payload.decode())
            else:
                assert message.kind is Kind.METADATA, message
                self.lags.append(json.loads(message.payload)["lag"])
        return waveform, pieces


def voice(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Whole frames of noise in the band of a voice, in bursts: survives two Opus codecs, unlike that of other seeds."""
    length = round(seconds * RATE / FRAME) * FRAME
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / RATE)
    noise = np.fft.irfft(spectrum * ((frequency > 100) & (frequency < 700)), length)
    bursts = np.clip(0.5 + 4 * np.cos(2 * np.pi * np.arange(length) / RATE), 0, 1)  # a second each, mostly sound
    return (0.5 * noise / np.abs(noise).max() * bursts).astype(np.float32)


def similarity(reference: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, int]:
    """Where in `other` the reference is found: normalised correlation (1 = same wave), and the place in samples."""
    size = 1 << (len(reference) + len(other)).bit_length()
    product = np.fft.irfft(np.fft.rfft(other, size) * np.fft.rfft(reference, size).conj(), size)[: len(other)]
    place = int(product.argmax())
    found = other[place : place + len(reference)]
    return float(product[place] / (np.linalg.norm(reference) * np.linalg.norm(found) + 1e-12)), place

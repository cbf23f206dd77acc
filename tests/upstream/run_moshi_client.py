"""Talk with kyutai's own client: `python run_moshi_client.py URL SAID HEARD`.

Run by the Python of the environment in requirements-moshi.txt; it must not import voxtune. SAID: npy, float32 samples
at 24 kHz that its microphone hears; HEARD: npy to write, what its loudspeaker plays until it has played as much. Its
text goes to standard output. There is no sound card: a sounddevice without one stands in.
"""

import argparse
import asyncio
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np

BLOCK = 1920
BLOCK_SECONDS = 0.08

said: list[np.ndarray] = []
heard: list[np.ndarray] = []
done = threading.Event()


class Stream:
    """Calls back once a block until the conversation is done, as a sound card would."""

    def __init__(self, samplerate, channels, blocksize, callback):
        assert (samplerate, channels, blocksize) == (24000, 1, BLOCK)
        self.callback = callback
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *exception):
        done.set()
        self.thread.join()

    def run(self):
        while not done.wait(BLOCK_SECONDS):
            self.block()


class InputStream(Stream):
    def block(self):
        block = said.pop(0) if said else np.zeros(BLOCK, np.float32)
        self.callback(block[:, None], BLOCK, None, None)


class OutputStream(Stream):
    def block(self):
        out = np.zeros((BLOCK, 1), np.float32)
        self.callback(out, BLOCK, None, None)
        heard.append(out[:, 0])


sys.modules["sounddevice"] = types.SimpleNamespace(InputStream=InputStream, OutputStream=OutputStream)

import aiohttp  # noqa: E402
from moshi.client import Connection  # noqa: E402
from moshi.client_utils import RawPrinter  # noqa: E402


async def talk(url: str, blocks: int) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}api/chat") as websocket:
        connection = Connection(RawPrinter(), websocket, event_loop=asyncio.get_running_loop())
        running = asyncio.create_task(connection.run())
        end = time.monotonic() + 60
        while sum(bool(block.any()) for block in heard) < blocks and not running.done() and time.monotonic() < end:
            await asyncio.sleep(0.05)
        await websocket.close()
        await running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("said", type=Path)
    parser.add_argument("heard", type=Path)
    arguments = parser.parse_args()
    waveform = np.load(arguments.said)
    said.extend(np.split(waveform, len(waveform) // BLOCK))
    asyncio.run(talk(arguments.url, len(said)))
    np.save(arguments.heard, np.concatenate(heard))


if __name__ == "__main__":
    main()

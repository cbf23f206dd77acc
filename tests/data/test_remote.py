"""URLs are fetched once; the network here is a server of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers.recordings import record
from voxtune.data.audio import load, probe
from voxtune.data.remote import audio_cache, fetched
from voxtune.data.sample import AudioPart
from voxtune.errors import DataError


class Server(ThreadingHTTPServer):
    """Serves one file under any name; `short` under a name that holds this word, 404 under `missing`."""

    content = b""
    requests: list[str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if "missing" in self.path:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content[: 100 if "short" in self.path else None])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path / "cache"))
    with Server(("127.0.0.1", 0), Handler) as server:
        server.content = record(tmp_path / "a.wav").read_bytes()
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_url_is_fetched_once(server: Server) -> None:
    part = AudioPart(path=f"{server.address}/speech/录音 1.wav?size=big")
    assert probe(part).seconds == 0.5
    assert len(load(part, 16000)) == 8000
    assert server.requests == ["/speech/%E5%BD%95%E9%9F%B3%201.wav?size=big"]
    assert [path.suffix for path in audio_cache().iterdir()] == [".wav"]


def test_different_urls_are_different_files(server: Server) -> None:
    assert fetched(f"{server.address}/a.wav") != fetched(f"{server.address}/a.wav?take=2")
    assert len(server.requests) == 2


def test_a_broken_transfer_leaves_nothing(server: Server) -> None:
    with pytest.raises(DataError, match=r"short\.wav: 100 of \d+ bytes arrived"):
        fetched(f"{server.address}/short.wav")
    assert list(audio_cache().iterdir()) == []


def test_a_refusal_is_reported(server: Server) -> None:
    with pytest.raises(DataError, match=r"missing\.wav: the server answered 404"):
        fetched(f"{server.address}/missing.wav")


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXTUNE_CACHE", str(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=r"a\.wav: cannot be fetched .*connect to the network, or download it"):
        fetched(f"http://127.0.0.1:{port}/a.wav")
    with pytest.raises(DataError, match="cannot be fetched"):
        fetched("http://[bad/a.wav")


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VOXTUNE_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert audio_cache() == tmp_path / ".cache" / "voxtune" / "audio"

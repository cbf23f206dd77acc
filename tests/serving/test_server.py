"""A server on a real port: what its clients hear, who waits, who is given up."""

from __future__ import annotations

import json
import math
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from tests.helpers.live import DELAY, FRAME, PATIENCE, RATE, Client, EchoDuplex, serving, similarity, voice
from voxtune.errors import VoxtuneError
from voxtune.serving.protocol import Kind, Message
from voxtune.serving.server import Address, Server
from voxtune.serving.session import Limits

PATIENT = Limits(lag_step=math.inf, longest_lag=60)
"""For clients that speak faster than real time."""
STRICT = Limits(ping_interval=0.3, ping_timeout=2.0, lag_step=math.inf, longest_lag=60)


@pytest.fixture
def duplex() -> EchoDuplex:
    return EchoDuplex()


@pytest.fixture
def url(duplex: EchoDuplex) -> Iterator[str]:
    with serving(duplex, PATIENT) as url:
        yield url


def answers(client: Client, wave: np.ndarray) -> None:
    """The client says something and hears its own echo, and only that."""
    client.say(wave)
    answer, pieces = client.listen(len(wave) - DELAY * FRAME)
    likeness, shift = similarity(wave[: len(answer)], answer)
    assert likeness > 0.7
    assert 0 <= shift < FRAME  # both codecs' own delay
    assert set(pieces) == {" hello"}


class TestConversation:
    def test_handshake_echo_and_text(self, url: str, duplex: EchoDuplex) -> None:
        wave = voice(2)
        with Client(url) as client:
            assert client.expect(Kind.HANDSHAKE) == b""
            answers(client, wave)
        heard = duplex.conversation()
        assert len(heard) == len(wave)
        assert similarity(wave, heard)[0] > 0.9

    def test_words_come_with_their_frame(self, url: str) -> None:
        silence, sound = np.zeros(5 * FRAME, dtype=np.float32), voice(1)
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            client.say(np.concatenate((silence, sound, silence)))
            before = []
            while (message := client.receive()).kind is not Kind.TEXT:
                before.append(message.kind)
            assert message.payload == b" hello"
            assert len(before) in (5 - DELAY + 1, 5 - DELAY + 2)  # the burst may begin late in its frame

    def test_what_is_said_before_the_handshake_is_heard_when_nobody_waits(self, url: str, duplex: EchoDuplex) -> None:
        duplex.gate.clear()
        wave = voice(1)
        with Client(url) as client:
            client.say(wave)
            client.expect(Kind.HANDSHAKE)
            duplex.gate.set()
            client.listen(len(wave) - DELAY * FRAME)
        assert len(duplex.conversation()) == len(wave)

    def test_each_conversation_begins_anew(self, url: str, duplex: EchoDuplex) -> None:
        for seed in (1, 2):
            with Client(url) as client:
                client.expect(Kind.HANDSHAKE)
                answers(client, voice(1, seed))
        assert len(duplex.heard) == 3
        assert [len(frames) for frames in duplex.heard[1:]] == [len(voice(1)) // FRAME] * 2

    def test_a_ping_comes_back_as_it_is(self, url: str) -> None:
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            client.socket.send(Message(Kind.PING, b"12345678").encode())
            assert client.expect(Kind.PING) == b"12345678"

    def test_kinds_without_meaning_are_dropped(self, url: str) -> None:
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            for data in (b"\x2aabc", b"\x03\x03", b"\x07\x01a", b"\x04{}", b"\x00"):
                client.socket.send(data)
            answers(client, voice(1))


class TestLine:
    def test_clients_are_served_in_order_and_told_their_place(self, url: str) -> None:
        with Client(url) as first:
            first.expect(Kind.HANDSHAKE)
            with Client(url) as second:
                assert second.expect_metadata() == {"queue": 1}
                with Client(url) as third:
                    assert third.expect_metadata() == {"queue": 2}
                    answers(first, voice(1, 1))
                    first.socket.close()
                    assert second.expect(Kind.HANDSHAKE) == b""
                    assert third.expect_metadata() == {"queue": 1}
                    answers(second, voice(1, 2))
                    second.socket.close()
                    assert third.expect(Kind.HANDSHAKE) == b""
                    answers(third, voice(1, 3))

    def test_who_leaves_the_line_frees_its_place(self, url: str) -> None:
        with Client(url) as first, Client(url) as second:
            first.expect(Kind.HANDSHAKE)
            assert second.expect_metadata() == {"queue": 1}
            with Client(url) as third:
                assert third.expect_metadata() == {"queue": 2}
                second.socket.close()
                assert third.expect_metadata() == {"queue": 1}

    def test_what_is_said_in_the_line_is_not_part_of_the_conversation(self, url: str, duplex: EchoDuplex) -> None:
        """moshi's own client speaks from the first moment; its stream's headers come only once."""
        with Client(url) as first, Client(url) as second:
            first.expect(Kind.HANDSHAKE)
            assert second.expect_metadata() == {"queue": 1}
            second.say(voice(1, 1))
            second.socket.send(Message(Kind.PING).encode())
            second.expect(Kind.PING)  # all before it was read
            first.socket.close()
            second.expect(Kind.HANDSHAKE)
            assert second.expect_metadata() == {"skipped": len(voice(1)) / RATE}
            second.say(voice(1, 2))
            second.listen(len(voice(1)) - DELAY * FRAME)
        assert similarity(voice(1, 2), duplex.conversation())[0] > 0.9

    def test_five_at_once_are_never_mixed(self, url: str) -> None:
        failures = []

        def talk(seed: int) -> None:
            try:
                with Client(url) as client:
                    while client.receive().kind is not Kind.HANDSHAKE:
                        pass
                    answers(client, voice(1.5, seed))
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=talk, args=(seed,)) for seed in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert failures == []


class TestVanished:
    """The first client disappears in the midst of its talk; the second is served."""

    def served_after(self, url: str, vanish: Callable[[Client], None]) -> None:
        with Client(url) as second_later:
            second_later.expect(Kind.HANDSHAKE)
        first = Client(url)
        first.expect(Kind.HANDSHAKE)
        first.say(voice(0.5))
        with Client(url) as second:
            assert second.expect_metadata() == {"queue": 1}
            vanish(first)
            assert second.expect(Kind.HANDSHAKE) == b""
            answers(second, voice(1, 1))

    def test_closed_without_a_goodbye(self, url: str) -> None:
        self.served_after(url, lambda client: client.socket.socket.shutdown(socket.SHUT_RDWR))

    def test_while_the_model_computes(self, url: str, duplex: EchoDuplex) -> None:
        def vanish(client: Client) -> None:
            duplex.gate.clear()
            client.say(voice(1))
            client.socket.socket.shutdown(socket.SHUT_RDWR)
            duplex.gate.set()

        self.served_after(url, vanish)

    def test_a_dead_line(self, duplex: EchoDuplex) -> None:
        """Nothing is closed: the other end is silent for ever, as after a pulled cable."""
        with serving(duplex, STRICT) as url:
            dead = handshake_and_silence(url)
            with Client(url) as second:
                while second.receive().kind is not Kind.HANDSHAKE:
                    pass
                answers(second, voice(1))
            dead.close()

    def test_a_client_that_never_reads(self, duplex: EchoDuplex) -> None:
        """The answers to its pings fill the connection, until nothing goes through any more."""
        ping = b"\x82\xfe" + (60_001).to_bytes(2, "big") + bytes(4) + b"\x06" + bytes(60_000)  # masked with zeros
        with serving(duplex, Limits(quiet=1.0)) as url, handshake_and_silence(url) as deaf:
            deaf.settimeout(0.5)
            with pytest.raises(OSError, match=r"timed out|reset|pipe"):
                while True:
                    deaf.sendall(ping)
            with Client(url) as second:
                while second.receive().kind is not Kind.HANDSHAKE:
                    pass
                second.socket.send(Message(Kind.PING).encode())
                second.expect(Kind.PING)

    def test_no_audio(self, duplex: EchoDuplex) -> None:
        with serving(duplex, Limits(quiet=0.2)) as url, Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            assert b"no audio for 0.2 s" in client.expect(Kind.ERROR)


def handshake_and_silence(url: str) -> socket.socket:
    """A client that opens a websocket and then neither reads nor writes, not even answers to pings."""
    place = urlsplit(url)
    assert place.hostname
    connection = socket.create_connection((place.hostname, place.port or 80))
    connection.sendall(
        f"GET /api/chat HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert connection.recv(12) == b"HTTP/1.1 101"
    return connection


class TestBadInput:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"\x01" + b"garbage" * 40, "no Ogg Opus"),
            ("hello", "text message"),
            (b"", "empty message"),
            (b"\x01" + bytes(70_000), "limit"),
        ],
        ids=["no Opus", "text", "empty", "huge"],
    )
    def test_is_answered_and_the_server_lives_on(self, url: str, data: bytes | str, reason: str) -> None:
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            client.socket.send(data)
            assert reason in client.expect(Kind.ERROR).decode()
            with pytest.raises(ConnectionClosed):
                client.receive()
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            answers(client, voice(1))

    def test_in_the_midst_of_a_stream(self, url: str) -> None:
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            client.say(voice(1))
            client.socket.send(b"\x01" + bytes(range(256)))
            while (message := client.receive()).kind is not Kind.ERROR:
                assert message.kind in (Kind.AUDIO, Kind.TEXT)
            assert b"no Ogg Opus" in message.payload

    def test_beyond_all_measure(self, url: str) -> None:
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            client.socket.send(b"\x01" + bytes(2 << 20))
            with pytest.raises(ConnectionClosed):
                client.receive()
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)

    def test_in_the_line(self, url: str) -> None:
        with Client(url) as first, Client(url) as second:
            first.expect(Kind.HANDSHAKE)
            second.expect_metadata()
            second.socket.send("hello")
            second.expect(Kind.ERROR)
            answers(first, voice(1))


class TestSlowModel:
    def test_lag_is_told_and_made_up(self, duplex: EchoDuplex) -> None:
        with serving(duplex, Limits(lag_step=0.5)) as url, Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            duplex.gate.clear()
            wave = voice(2)
            client.say(wave)
            client.socket.send(Message(Kind.PING).encode())
            client.expect(Kind.PING)  # all before it was read, the first frame is in the model
            duplex.gate.set()
            client.listen(len(wave) - DELAY * FRAME)
        assert client.lags[0] == pytest.approx(2 - FRAME / RATE, abs=0.01)
        assert client.lags == sorted(client.lags, reverse=True)
        assert client.lags[-1] < 0.5
        assert len(duplex.conversation()) == len(wave)

    def test_hopeless_lag_ends_the_conversation(self, duplex: EchoDuplex) -> None:
        with serving(duplex, Limits(lag_step=math.inf, longest_lag=1.0)) as url:
            with Client(url) as client:
                client.expect(Kind.HANDSHAKE)
                duplex.gate.clear()
                client.socket.send(Message(Kind.AUDIO, client.opus(voice(2))).encode())
                assert b"more than 1 s behind" in client.expect(Kind.ERROR)
            duplex.gate.set()
            with Client(url) as client:
                client.expect(Kind.HANDSHAKE)
                answers(client, voice(0.8))

    def test_the_event_loop_stays_free(self, url: str, duplex: EchoDuplex) -> None:
        with Client(url) as client:
            client.expect(Kind.HANDSHAKE)
            duplex.gate.clear()
            client.say(voice(0.5))
            assert urlopen(url, timeout=PATIENCE).status == 200
            duplex.gate.set()


def test_a_failing_model_is_told_and_the_next_client_is_served(url: str, duplex: EchoDuplex) -> None:
    with Client(url) as client:
        client.expect(Kind.HANDSHAKE)
        duplex.failure = RuntimeError("out of memory")
        client.say(voice(1)[:FRAME])
        assert client.expect(Kind.ERROR) == b"the model failed: out of memory"
    duplex.failure = None
    with Client(url) as client:
        client.expect(Kind.HANDSHAKE)
        answers(client, voice(1))


class TestPage:
    @pytest.mark.parametrize("path", ["", "app.js", "style.css"])
    def test_is_served_without_anything_from_elsewhere(self, url: str, path: str) -> None:
        text = urlopen(url + path, timeout=PATIENCE).read().decode()
        assert text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "")
        assert "https://" not in text

    def test_describes_the_model(self, url: str) -> None:
        with urlopen(url + "api/model", timeout=PATIENCE) as answer:
            assert json.load(answer) == {"name": "a test", "sample_rate": RATE, "frame_seconds": FRAME / RATE}


class TestAddress:
    def test_a_taken_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(VoxtuneError, match=f"port {port} .*--port"):
                Server(Address("127.0.0.1", port))

    def test_an_unknown_host(self) -> None:
        with pytest.raises(VoxtuneError, match=r"nowhere\.invalid"):
            Server(Address("nowhere.invalid", 0))

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate")
    def test_https(self, duplex: EchoDuplex, tmp_path: Path) -> None:
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        request = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*request, *names, *files], check=True, capture_output=True)
        trusted = ssl.create_default_context(cafile=certificate)
        with serving(duplex, address=Address("127.0.0.1", 0, certificate, key)) as url:
            assert url.startswith("https://127.0.0.1:")
            with urlopen(url + "api/model", context=trusted, timeout=PATIENCE) as answer:
                assert answer.status == 200

    def test_a_missing_certificate(self, tmp_path: Path) -> None:
        with pytest.raises(VoxtuneError, match=r"absent\.pem"):
            Server(Address("127.0.0.1", 0, tmp_path / "absent.pem", tmp_path / "key.pem"))

    def test_a_key_without_certificate(self, tmp_path: Path) -> None:
        with pytest.raises(VoxtuneError, match="give both"):
            Server(Address("127.0.0.1", 0, key=tmp_path / "key.pem"))

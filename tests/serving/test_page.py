"""The page in a real browser, with a file for a microphone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.browser import CHROMIUM, Page, browser
from tests.helpers.live import PATIENCE, RATE, Client, EchoDuplex, serving, similarity, voice
from voxtune.serving.protocol import Kind

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

WAVE = voice(1.6, seed=1)
"""What the microphone hears, again and again."""
OTHER = voice(1.6, seed=2)
STATE = "document.body.dataset.state"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    soundfile.write(folder / "microphone.wav", WAVE, RATE)
    microphone = f"--use-file-for-fake-audio-capture={folder / 'microphone.wav'}"
    with browser(folder, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", microphone) as page:
        yield page


@pytest.fixture
def duplex() -> EchoDuplex:
    return EchoDuplex()


@pytest.fixture
def url(duplex: EchoDuplex, page: Page) -> Iterator[str]:
    with serving(duplex) as url:
        yield url
    page.errors.clear()


def start(page: Page, url: str) -> None:
    page.open(url)
    page.wait_for("!document.querySelector('#talk').disabled")
    page.click("#talk")


def until(ready: Callable[[], bool]) -> None:
    """The sound comes as it comes on a busy machine: wait for what must be true in the end."""
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.2)


def heard(duplex: EchoDuplex, wave: np.ndarray) -> float:
    """How well the server knows a wave from its last conversation."""
    return similarity(wave, duplex.conversation())[0] if len(duplex.heard) > 1 and duplex.heard[-1] else 0.0


def downloaded(page: Page, folder: Path) -> np.ndarray:
    """The conversation so far [samples, 2] at RATE, left the model; an even number of samples at twice the rate."""
    for old in folder.glob("conversation-*.wav"):  # a second download in the same second takes its place
        old.unlink()
    page.click("#save")
    until(lambda: list(folder.glob("conversation-*.wav")) != [])
    [path] = folder.glob("conversation-*.wav")
    waveform, rate = soundfile.read(path, dtype="float32")
    assert rate == 2 * RATE
    assert waveform.shape[1] == 2
    return waveform.reshape(-1, 2, 2).mean(1)


class TestConversation:
    def test_both_sides_are_heard_and_written(self, page: Page, url: str, duplex: EchoDuplex, folder: Path) -> None:
        start(page, url)
        page.wait_for(f"{STATE} === 'talking'")
        until(lambda: heard(duplex, WAVE) > 0.35)  # the browser's noise suppression takes its share
        assert heard(duplex, OTHER) < 0.25
        page.wait_for("document.querySelector('#transcript').textContent.includes('hello')")
        assert page.evaluate("document.querySelector('#transcript time').textContent") in ("0:00", "0:01", "0:02")

        until(lambda: similarity(WAVE, downloaded(page, folder)[:, 0])[0] > 0.3)
        left, right = downloaded(page, folder).T
        assert similarity(OTHER, left)[0] < 0.25
        assert similarity(WAVE, right)[0] > 0.35
        assert np.argmax(np.abs(left) > 0.05) > np.argmax(np.abs(right) > 0.05)  # the echo comes later

        delay = page.wait_for("parseInt(document.querySelector('#delay').textContent)")
        assert delay > 160  # the partner's own
        page.wait_for("document.querySelector('#network').textContent.endsWith(' ms')")
        assert page.wait_for("parseFloat(document.querySelector('#your-voice .meter').ariaValueNow)") > -60

        page.click("#talk")
        assert page.evaluate(STATE) == "idle"
        assert page.errors == []

    def test_muted_is_silence_not_a_gap(self, page: Page, url: str, duplex: EchoDuplex) -> None:
        start(page, url)
        page.wait_for(f"{STATE} === 'talking'")
        page.click("#mute")
        assert page.evaluate("document.querySelector('#mute').ariaPressed") == "true"
        frames = duplex.heard[-1]
        until(lambda: len(frames) > 20 and float(np.abs(frames[-10:]).max()) < 1e-3)
        page.click("#mute")
        until(lambda: float(frames[-1].abs().max()) > 1e-2)

    def test_restart_is_a_new_conversation(self, page: Page, url: str, duplex: EchoDuplex) -> None:
        start(page, url)
        page.wait_for("document.querySelector('#transcript').textContent.includes('hello')")
        page.click("#restart")
        until(lambda: len(duplex.heard) == 3)
        until(lambda: heard(duplex, WAVE) > 0.35)
        page.wait_for("document.querySelector('#transcript').textContent.includes('hello')")


class TestStates:
    def test_place_in_line(self, page: Page, url: str) -> None:
        with Client(url) as first, Client(url) as second:
            first.expect(Kind.HANDSHAKE)
            second.expect(Kind.METADATA)
            start(page, url)
            page.wait_for("document.querySelector('#status').textContent === 'Waiting: place 2 in line'")
            second.socket.close()
            page.wait_for("document.querySelector('#status').textContent === 'Waiting: you are next'")
            first.socket.close()
            page.wait_for(f"{STATE} === 'talking'")

    def test_the_reason_of_an_end_is_shown(self, page: Page, url: str, duplex: EchoDuplex) -> None:
        duplex.failure = RuntimeError("out of memory")
        start(page, url)
        page.wait_for(f"{STATE} === 'lost'")
        assert page.evaluate("document.querySelector('#problem').textContent") == "the model failed: out of memory"
        duplex.failure = None
        page.click("#talk")
        page.wait_for(f"{STATE} === 'talking'")
        assert page.evaluate("document.querySelector('#problem').hidden")

    def test_a_lost_server(self, page: Page, duplex: EchoDuplex) -> None:
        with serving(duplex) as url:
            start(page, url)
            page.wait_for(f"{STATE} === 'talking'")
        page.wait_for(f"{STATE} === 'lost'")
        assert "lost" in page.evaluate("document.querySelector('#problem').textContent")
        page.errors.clear()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ("delete window.AudioEncoder", "WebCodecs"),
            ("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})", "no microphone"),
            ("Object.defineProperty(window, 'isSecureContext', {value: false})", "--ssl-cert"),
        ],
        ids=["no WebCodecs", "no devices", "no https"],
    )
    def test_what_a_browser_lacks_is_named(self, page: Page, url: str, change: str, message: str) -> None:
        script = page.call("Page.addScriptToEvaluateOnNewDocument", source=change)
        try:
            page.open(url)
            assert message in page.wait_for("document.querySelector('#problem').textContent")
            assert page.evaluate("document.querySelector('#talk').disabled")
        finally:
            page.call("Page.removeScriptToEvaluateOnNewDocument", **script)

    def test_no_microphone(self, page: Page, url: str) -> None:
        page.open(url)
        page.wait_for("!document.querySelector('#talk').disabled")
        page.evaluate(
            "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('none', 'NotFoundError')), 0"
        )
        page.click("#talk")
        assert "no microphone" in page.wait_for("document.querySelector('#problem').textContent")
        assert page.evaluate(STATE) == "idle"


class TestOgg:
    def test_packets_of_any_size_survive_pages_cut_anywhere(self, page: Page, url: str) -> None:
        page.open(url)
        sizes = [1, 254, 255, 256, 510, 1000, 3, 700]
        script = """(async (sizes) => {
            const { Muxer, Demuxer } = await import("/ogg.js");
            const [muxer, demuxer] = [new Muxer(), new Demuxer()];
            const packets = sizes.map((size, index) => new Uint8Array(size).map((_, place) => place * 7 + index));
            const stream = [...muxer.headers(312, 48000)];
            for (let index = 0; index < packets.length; index += 2)
                stream.push(...muxer.page(packets.slice(index, index + 2), 1920));
            const found = [];
            for (let place = 0; place < stream.length; place += 7)
                found.push(...demuxer.push(Uint8Array.from(stream.slice(place, place + 7))));
            return found.length === packets.length
                && found.every((packet, index) => packet.join() === packets[index].join());
        })"""
        assert page.evaluate(f"{script}({json.dumps(sizes)})")

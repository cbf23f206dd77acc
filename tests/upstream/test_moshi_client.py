"""kyutai's own client talks with our server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.live import Client, EchoDuplex, serving, similarity, voice
from voxtune.serving.protocol import Kind

pytestmark = pytest.mark.upstream

SCRIPT = Path(__file__).with_name("run_moshi_client.py")


@pytest.fixture
def command(moshi_python: Path, tmp_path: Path) -> list[str]:
    """Without its first argument, the URL."""
    np.save(tmp_path / "said.npy", voice(3, seed=1))
    return [str(moshi_python), str(SCRIPT)]


def test_audio_and_text_go_both_ways(command: list[str], tmp_path: Path) -> None:
    duplex = EchoDuplex()
    with serving(duplex) as url:
        files = [str(tmp_path / "said.npy"), str(tmp_path / "heard.npy")]
        done = subprocess.run([*command, url, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert similarity(voice(3, seed=1), duplex.conversation())[0] > 0.9
    played = np.load(tmp_path / "heard.npy")
    assert similarity(voice(3, seed=1)[:24000], played)[0] > 0.7
    assert "hello" in done.stdout


def test_it_waits_in_line_and_is_served(command: list[str], tmp_path: Path) -> None:
    """It speaks from its first moment, before it is its turn."""
    duplex = EchoDuplex()
    with serving(duplex) as url, Client(url) as first:
        first.expect(Kind.HANDSHAKE)
        files = [str(tmp_path / "said.npy"), str(tmp_path / "heard.npy")]
        with subprocess.Popen([*command, url, *files], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
            assert client.stdout
            output = b""
            while b"kind 4" not in output:  # it says so of the place in line, as of the handshake
                output += client.stdout.read1()
                assert client.poll() is None, output
            first.socket.close()
            rest, _ = client.communicate(timeout=60)
    assert client.returncode == 0, rest[-3000:]
    assert len(duplex.heard) == 3
    assert b"kind 0" in rest or b"kind 0" in output

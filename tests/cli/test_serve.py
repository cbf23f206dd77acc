"""`voxtune serve`: what it says before it serves, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
import typer
from typer.testing import CliRunner

from tests.helpers.live import FRAME, Client, voice
from voxtune.cli.serve import serve
from voxtune.errors import VoxtuneError
from voxtune.serving.protocol import Kind

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(serve)


def run(*arguments: object) -> None:
    """Raises what the command raises."""
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"CUDA_VISIBLE_DEVICES": ""})
    assert result.exception
    raise result.exception


class TestRefusals:
    def test_a_family_that_cannot_talk(self, tiny_asr_folder: Path) -> None:
        with pytest.raises(VoxtuneError, match="fun_asr_nano cannot serve"):
            run(tiny_asr_folder, "--port", 0)

    def test_a_taken_port_before_the_model_is_loaded(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(VoxtuneError, match=f"port {port}"):
                run(tmp_path / "no model here", "--host", "127.0.0.1", "--port", port)

    def test_a_certificate_that_is_none(self, tmp_path: Path) -> None:
        certificate = tmp_path / "cert.pem"
        certificate.write_text("nothing")
        with pytest.raises(VoxtuneError, match="PEM"):
            run("tiny", "--port", 0, "--ssl-cert", certificate)


def test_tiny_talks_until_ctrl_c() -> None:
    """The real command with the built-in model: address, page, conversation, and an end within a conversation."""
    command = [sys.executable, "-m", "voxtune", "serve", "tiny", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout
            said = ""
            while not (address := re.search(r"talk at (http://localhost:\d+/)", said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            assert re.search(r"a frame of 80 ms takes [\d.]+ ms", said)
            assert b"<title>" in urlopen(address[1]).read()
            with Client(address[1]) as client:
                client.expect(Kind.HANDSHAKE)
                client.say(voice(1.6))
                answer, _ = client.listen(10 * FRAME)
                assert answer.any()
                process.send_signal(signal.SIGINT)
                rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert re.search(r"talked for \d+ s", rest)

"""The server around the application: its address, its certificate, its life."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from voxtune.errors import VoxtuneError
from voxtune.families.family import Duplex
from voxtune.serving.app import create_app
from voxtune.serving.model_thread import ModelThread
from voxtune.serving.session import Limits

LARGEST_MESSAGE = 1 << 20
"""Bytes of a message that is read at all; a session's own limit is far smaller and tells the client why."""
EVERYWHERE = ("0.0.0.0", "::")
STOP_SECONDS = 5
"""How long Ctrl-C waits for conversations to end."""


@dataclass(frozen=True)
class Address:
    """Where to listen: a name, an IPv4 or an IPv6 address; port 0 = any free one.

    certificate, key: PEM files for https; the key may be in the certificate's file.
    """

    host: str = "localhost"
    port: int = 8998
    certificate: Path | None = None
    key: Path | None = None


class Server:
    """Takes its port and reads its certificate at once, so that neither fails after a model was loaded.

    Raises VoxtuneError when one of them cannot be had.
    """

    def __init__(self, address: Address, limits: Limits | None = None) -> None:
        self._address = address
        self._limits = limits or Limits()
        _check_certificate(address)
        self._socket = _bind(address.host, address.port)
        self._uvicorn: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        """Of the page, as this machine calls it."""
        scheme = "https" if self._address.certificate else "http"
        host = "localhost" if self._address.host in EVERYWHERE else self._address.host
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self._socket.getsockname()[1]}/"

    def run(self, duplex: Duplex, name: str, ready: Callable[[float, float], None]) -> None:
        """Warm the model up, then serve it under this name until Ctrl-C or `stop`.

        ready: called when clients can come, with the seconds that a frame takes to compute, and those that it lasts.
        Raises ModelError.
        """
        model = ModelThread(duplex)
        try:
            step_seconds = model.warm_up()
            config = uvicorn.Config(
                create_app(model, name, self._limits),
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=LARGEST_MESSAGE,
                ws_ping_interval=self._limits.ping_interval,
                ws_ping_timeout=self._limits.ping_timeout,
                ws_per_message_deflate=False,  # Opus does not get smaller
                timeout_graceful_shutdown=STOP_SECONDS,
                ssl_certfile=self._address.certificate,
                ssl_keyfile=self._address.key,
            )
            self._uvicorn = uvicorn.Server(config)
            self._socket.listen()
            ready(step_seconds, model.frame_seconds)
            self._uvicorn.run(sockets=[self._socket])
        except KeyboardInterrupt:
            pass
        finally:
            self._socket.close()
            model.close()

    def stop(self) -> None:
        """End `run`, from another thread, once it has called `ready`."""
        if self._uvicorn:
            self._uvicorn.should_exit = True


def _check_certificate(address: Address) -> None:
    if address.certificate is None:
        if address.key is not None:
            raise VoxtuneError(f"{address.key}: a key needs its certificate; give both")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(address.certificate, address.key)
    except OSError as error:  # ssl.SSLError is one
        raise VoxtuneError(
            f"{address.certificate}, {address.key or 'without a key file'}: cannot be used for https ({error}); "
            "both must be PEM files that belong together"
        ) from error


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except (OSError, OverflowError) as error:
        taken.close()
        raise VoxtuneError(
            f"cannot listen on {host}, port {port} ({error}); choose others with --host and --port"
        ) from error
    return taken

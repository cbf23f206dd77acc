"""`voxtune serve MODEL`."""

from __future__ import annotations

import ipaddress
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from voxtune.errors import VoxtuneError


def serve(
    model: Annotated[str, typer.Argument(help="Folder of a run, an export or a published model, a hub id, or tiny.")],
    host: Annotated[str, typer.Option(help="Name or address to listen on; 0.0.0.0 = all there are.")] = "localhost",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any free one.")] = 8998,
    ssl_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM) for https.")] = None,
    ssl_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of the voice; 0 = always the likeliest.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Of the voice: draw from the k likeliest; 0 = from all.")] = 250,
    text_temperature: Annotated[float, typer.Option(min=0.0, help="The same for the text.")] = 0.7,
    text_top_k: Annotated[int, typer.Option(min=0, help="The same for the text.")] = 25,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu. Default: the first of them there is.")] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"] | None, typer.Option(help="Default: bf16 on a GPU, else fp32.")
    ] = None,
    checkpoint: Annotated[Literal["best", "last"], typer.Option(help="Which checkpoint of a run.")] = "best",
) -> None:
    """Talk with a model: a page for the browser, and moshi.server's websocket for its clients. Ctrl-C ends it."""
    if missing := [package for package in ("fastapi", "uvicorn", "websockets", "sphn") if find_spec(package) is None]:
        raise VoxtuneError(f"serving needs {', '.join(missing)}: pip install 'voxtune[serve]'")

    from voxtune.families.family import DialogueSettings
    from voxtune.inference import find_device, load_model
    from voxtune.serving.server import Address, Server

    console = Console(soft_wrap=True, highlight=False, markup=False)
    handler = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S", omit_repeated_times=False)
    logging.basicConfig(format="%(message)s", handlers=[handler])
    logging.getLogger("voxtune").setLevel(logging.INFO)

    settings = DialogueSettings(
        temperature=temperature,
        top_k=top_k,
        text_temperature=text_temperature,
        text_top_k=text_top_k,
        seed=seed,
    )
    server = Server(Address(host, port, ssl_cert, ssl_key))
    place = find_device(device)
    precision = precision or ("fp32" if place.type == "cpu" else "bf16")
    console.print(f"loading {model} on {place}, {precision}")
    loaded = load_model(model, "serve", device=str(place), precision=precision, checkpoint=checkpoint)
    duplex = loaded.family.duplex(loaded.model, loaded.layout, settings)

    def ready(step_seconds: float, frame_seconds: float) -> None:
        console.print(f"a frame of {frame_seconds * 1000:.0f} ms takes {step_seconds * 1000:.1f} ms")
        if step_seconds > frame_seconds:
            console.print("slower than real time: conversations fall behind until they are ended", style="bold red")
        if ssl_cert is None and not _is_this_machine(host):
            console.print(
                "browsers give the microphone to https pages and to localhost only: "
                "for other machines add --ssl-cert and --ssl-key"
            )
        console.print(Text.assemble("talk at ", (server.url, "bold"), " (Ctrl-C ends)"))

    server.run(duplex, model, ready)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

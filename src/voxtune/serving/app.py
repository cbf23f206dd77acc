"""The web application: the conversation at /api/chat, the page at /."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, WebSocket
from fastapi.staticfiles import StaticFiles

from voxtune.serving.line import WaitingLine
from voxtune.serving.model_thread import ModelThread
from voxtune.serving.session import Limits, Session

PAGE = Path(__file__).with_name("page")


def create_app(model: ModelThread, name: str, limits: Limits) -> FastAPI:
    """Serve one model to one client at a time. name: of the model, shown on the page."""
    app = FastAPI(title="voxtune", docs_url=None, redoc_url=None, openapi_url=None)
    line = WaitingLine()

    @app.websocket("/api/chat")
    async def chat(websocket: WebSocket) -> None:
        await Session(websocket, line, model, limits).run()

    @app.get("/api/model")
    async def describe() -> dict[str, str | float]:
        return {"name": name, "sample_rate": model.sample_rate, "frame_seconds": model.frame_seconds}

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app

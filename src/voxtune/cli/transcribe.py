"""`voxtune transcribe MODEL AUDIO…`."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from voxtune.errors import VoxtuneError
from voxtune.files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voxtune.families.family import Settings
    from voxtune.inference import ReadyModel
    from voxtune.transcription.transcribe import Recording, Transcript

SUBTITLE_SECONDS = 10.0
"""Recordings are cut this short for subtitles when the times of single words are not asked for."""


Form = Literal["text", "json", "srt"]


def transcribe(
    model: Annotated[str, typer.Argument(help="Folder of a run, an export or a published model, a hub id, or tiny.")],
    audio: Annotated[list[str] | None, typer.Argument(help="Audio files, URLs, or data files of any layout.")] = None,
    wav_scp: Annotated[Path | None, typer.Option(help="A list of recordings: key and path per line.")] = None,
    layout: Annotated[str | None, typer.Option("--from", help="Layout of the data files, if not recognised.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write; a folder for SRTs.")] = None,
    form: Annotated[Form | None, typer.Option("--format", help="Default: by the output's ending, else text.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the text, as zh or 中文.")] = None,
    hotwords: Annotated[str | None, typer.Option(help="Words to expect: a,b or a file with one per line.")] = None,
    itn: Annotated[bool, typer.Option("--itn/--no-itn", help="Digits and punctuation, or words as spoken.")] = True,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Times of single words (JSON, SRT).")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Recordings decoded at once.")] = 8,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest text of 30 s, in tokens.")] = 512,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu. Default: the first of them there is.")] = None,
    precision: Annotated[Literal["fp32", "bf16", "fp16"], typer.Option(help="Numbers to compute in.")] = "fp32",
    checkpoint: Annotated[Literal["best", "last"], typer.Option(help="Which checkpoint of a run.")] = "best",
) -> None:
    """Write what is said in recordings. What cannot be read is named, the rest is written, and the exit code is 1."""
    form = form or _form_of(output)
    if timestamps and form == "text":
        raise VoxtuneError("--timestamps: a text file has no place for times; add --format json or --format srt")
    sources = [*(audio or []), *([str(wav_scp)] if wav_scp else [])]
    if not sources:
        raise VoxtuneError("nothing to transcribe; give audio files, data files, or --wav-scp FILE")
    if output is not None and output.resolve() in {Path(source).resolve() for source in sources}:
        raise VoxtuneError(f"{output} is an input and would be overwritten: give another file to write")

    from voxtune.data.formats.lines import Problems
    from voxtune.families.family import Settings
    from voxtune.inference import load_model
    from voxtune.transcription.inputs import read_inputs
    from voxtune.transcription.transcribe import Recording

    problems = Problems()
    samples = read_inputs(sources, layout, problems)
    if form == "srt":
        _check_subtitles([sample.key for sample in samples], output)
    settings = Settings(
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        language=language,
        hotwords=_words(hotwords),
        text_normalization=itn,
        timestamps=timestamps,
    )
    ready = load_model(model, "transcribe", device=device, precision=precision, checkpoint=checkpoint)
    stderr = Console(stderr=True, soft_wrap=True, highlight=False)
    logging.basicConfig(format="%(message)s", handlers=[RichHandler(console=stderr, show_time=False, show_path=False)])
    errors = [str(error) for error in problems.errors]
    recordings = [Recording(sample) for sample in samples]
    transcripts = _with_progress(ready, recordings, settings, form, errors, stderr)
    if transcripts:
        _write(transcripts, form, output)
    for error in errors:
        stderr.print(Text.assemble(("error: ", "bold red"), error))
    if errors:
        stderr.print(f"{len(transcripts)} of {len(samples) + len(problems.errors)} recordings were transcribed")
        raise typer.Exit(1)


def _with_progress(
    ready: ReadyModel,
    recordings: Sequence[Recording],
    settings: Settings,
    form: Form,
    errors: list[str],
    console: Console,
) -> list[Transcript]:
    from voxtune.transcription.transcribe import LONGEST_SECONDS, transcribe

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s of audio"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    longest = SUBTITLE_SECONDS if form == "srt" and not settings.timestamps else LONGEST_SECONDS
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("transcribing", total=0)
        return transcribe(
            ready,
            recordings,
            settings,
            longest=longest,
            failed=lambda sample, error: errors.append(str(error)),
            advanced=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def _form_of(output: Path | None) -> Form:
    suffix = output.suffix.lower() if output else ""
    if suffix == ".json":
        return "json"
    return "srt" if suffix == ".srt" else "text"


def _words(hotwords: str | None) -> list[str]:
    if hotwords is None:
        return []
    file = Path(hotwords)
    words = file.read_text(encoding="utf-8").splitlines() if file.is_file() else hotwords.split(",")
    return [word.strip() for word in words if word.strip()]


def _check_subtitles(keys: Sequence[str], output: Path | None) -> None:
    if len(keys) == 1:
        return
    if output is None or output.suffix:
        raise VoxtuneError(f"{len(keys)} recordings make as many SRT files; name a folder for them: -o FOLDER")
    repeated = [name for name, count in Counter(_file_name(key) for key in keys).items() if count > 1]
    if repeated:
        raise VoxtuneError(f"several recordings would be written to {output / repeated[0]}; give them other keys")


def _file_name(key: str) -> str:
    return f"{key.strip('/').replace('/', '_')}.srt"


def _write(transcripts: Sequence[Transcript], form: Form, output: Path | None) -> None:
    from voxtune.transcription.output import as_json, as_srt, as_text

    if form == "srt" and output is not None and not output.suffix:
        for item in transcripts:
            _put(as_srt(item), output / _file_name(item.key))
    elif form == "srt":
        _put(as_srt(transcripts[0]), output)
    else:
        _put(as_json(transcripts) if form == "json" else as_text(transcripts), output)


def _put(text: str, path: Path | None) -> None:
    if path is None:
        typer.echo(text, nl=False)
        return
    try:
        write_text(path, text)
    except OSError as error:
        raise VoxtuneError(f"{path}: cannot be written ({error.strerror}): give another file") from error

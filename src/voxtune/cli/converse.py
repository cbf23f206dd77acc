"""`voxtune converse MODEL DIALOGUE…`."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from voxtune.errors import DataError, VoxtuneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from voxtune.families.family import DialogueSettings
    from voxtune.inference import ReadyModel


def converse(
    model: Annotated[str, typer.Argument(help="Folder of a run, an export or a published model, a hub id, or tiny.")],
    sources: Annotated[
        list[str],
        typer.Argument(help="Stereo recordings, folders of them, data files of dialogues; or tokens as .npy to hear."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write: NAME.wav, NAME.npy, NAME.json.")],
    prompt_seconds: Annotated[float, typer.Option(min=0, help="How much of each dialogue is heard.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=0.08, help="How long it goes on.")] = 20.0,
    speaker: Annotated[
        Literal["A", "B"] | None, typer.Option(help="Who the model plays, A left. Default: as the data say, else A.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Of the codes; 0 = always the likeliest.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Codes are drawn from so many; 0 = all.")] = 250,
    text_temperature: Annotated[float, typer.Option(min=0, help="Of the text.")] = 0.7,
    text_top_k: Annotated[int, typer.Option(min=0, help="Text tokens are drawn from so many; 0 = all.")] = 25,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the random numbers, which differ from dialogue to dialogue.")
    ] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Dialogues at once.")] = 8,
    layout: Annotated[str | None, typer.Option("--from", help="Layout of the data files, if not recognised.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu. Default: the first of them there is.")] = None,
    precision: Annotated[Literal["fp32", "bf16", "fp16"], typer.Option(help="Numbers to compute in.")] = "fp32",
    checkpoint: Annotated[Literal["best", "last"], typer.Option(help="Which checkpoint of a run.")] = "best",
) -> None:
    """Write how dialogues go on after their beginning. What cannot be used is named, and the exit code is then 1."""
    from voxtune.families.family import DialogueSettings
    from voxtune.inference import load_model

    settings = DialogueSettings(
        prompt_seconds=prompt_seconds,
        seconds=seconds,
        temperature=temperature,
        top_k=top_k,
        text_temperature=text_temperature,
        text_top_k=text_top_k,
        batch_size=batch_size,
        seed=seed,
    )
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    load = partial(load_model, model, "converse", device=device, precision=precision, checkpoint=checkpoint)
    tokens = [source for source in sources if source.lower().endswith(".npy")]
    if not tokens:
        errors = _go_on(sources, layout, speaker, settings, output, load, console)
    elif len(tokens) == len(sources):
        errors = _hear([Path(source) for source in tokens], output, load, console)
    else:
        other = next(source for source in sources if source not in tokens)
        raise VoxtuneError(f"{other} is no token file: give dialogues to go on with, or .npy files to hear, not both")
    for error in errors:
        console.print(Text.assemble(("error: ", "bold red"), error))
    if errors:
        raise typer.Exit(1)


def _go_on(
    sources: Sequence[str],
    layout: str | None,
    speaker: Literal["A", "B"] | None,
    settings: DialogueSettings,
    output: Path,
    load: Callable[[], ReadyModel],
    console: Console,
) -> list[str]:
    """Continue dialogues; returns what is wrong with the others."""
    from voxtune.conversation.converse import converse
    from voxtune.conversation.inputs import played_by, read_dialogues
    from voxtune.conversation.output import SOUND, TOKENS, WORDS, refuse_existing, write_continuation
    from voxtune.data.formats.lines import Problems
    from voxtune.data.formats.stereo import file_names

    problems = Problems()
    samples = read_dialogues(sources, layout, problems)
    if speaker is not None:
        samples = [played_by(sample, speaker) for sample in samples]
    names = file_names(samples)
    refuse_existing(output, names, (SOUND, TOKENS, WORDS))
    errors = [str(error) for error in problems.errors]
    ready = load()
    written = 0
    with _progress(console) as progress:
        bar = progress.add_task("dialogues", total=len(samples))
        for number, found in converse(
            ready,
            samples,
            settings,
            failed=lambda sample, error: errors.append(str(error)),
            advanced=lambda done: progress.update(bar, completed=done),
        ):
            with _writing(output):
                write_continuation(output, names[number], samples[number], found, settings, ready.layout.sample_rate)
            written += 1
    console.print(f"{written} of {len(samples) + len(problems.errors)} dialogues went on, in {output}")
    return errors


def _hear(files: Sequence[Path], output: Path, load: Callable[[], ReadyModel], console: Console) -> list[str]:
    """Turn token files into sound; returns what is wrong with the others."""
    from voxtune.conversation.inputs import read_tokens
    from voxtune.conversation.output import SOUND, refuse_existing, write_sound
    from voxtune.files import atomic_write

    names = [file.stem for file in files]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise VoxtuneError(f"several files would be written to {output / repeated[0]}{SOUND}; hear them one by one")
    refuse_existing(output, names, (SOUND,))
    errors = []
    ready = load()
    with _progress(console) as progress:
        for file, name in progress.track(list(zip(files, names, strict=True)), description="token files"):
            try:
                tokens = read_tokens(file)
                sound = _sound(ready, tokens, file)
            except VoxtuneError as error:
                errors.append(str(error))
                continue
            with _writing(output), atomic_write(output / f"{name}{SOUND}") as path:
                write_sound(path, sound, ready.layout.sample_rate)
    console.print(f"{len(files) - len(errors)} of {len(files)} token files can be heard, in {output}")
    return errors


def _sound(ready: ReadyModel, tokens: Tensor, file: Path) -> Tensor:
    try:
        return ready.family.sound(ready.model, ready.layout, tokens)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """What cannot be written becomes a message."""
    try:
        yield
    except OSError as error:
        raise VoxtuneError(f"{output}: cannot be written ({error.strerror}); give another folder") from error

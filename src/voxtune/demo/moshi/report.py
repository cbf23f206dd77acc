"""The page of the demo: how each stream's loss fell, and every held-out dialogue to hear, to read and to see."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from voxtune.data.sample import Word
from voxtune.demo.charts import curve
from voxtune.demo.moshi.heldout import Continued
from voxtune.demo.moshi.summary import Summary
from voxtune.demo.moshi.timeline import Roll, timeline
from voxtune.demo.moshi.turns import LOUD_DB, utterances
from voxtune.demo.page import write_page

STREAMS = {
    "words": "own words",
    "padding": "no word",
    "semantic": "own first code",
    "acoustic": "own other codes",
    "user_semantic": "partner's first code",
    "user_acoustic": "partner's other codes",
}
"""What is predicted, as it is called in the log and on the page."""
TURN_TAKING = {
    "only_a": ("only A speaks", "{:.0%}"),
    "only_b": ("only B speaks", "{:.0%}"),
    "both": ("both speak", "{:.0%}"),
    "nobody": ("nobody speaks", "{:.0%}"),
    "turns": ("turns a dialogue", "{:.1f}"),
    "gap_seconds": ("silence between speakers", "{:.2f} s"),
    "overlap_seconds": ("overlap a dialogue", "{:.2f} s"),
}


def write_report(path: Path, summary: Summary, continued: Sequence[Continued], log: list[dict[str, Any]]) -> None:
    """Write the page, with pictures and sound inside, as one file. `log`: lines of the run's log; step 0 is before."""
    sections = [
        f"<h1>The desk answers {summary.right_answers} of {summary.prompts} travellers rightly</h1>",
        f"<p>{summary.steps} steps in {summary.training_seconds:.0f} s; the whole demo took {summary.seconds:.0f} s. "
        f"{escape('; '.join(summary.losses))}. No pair of greeting and question of these dialogues occurs with their "
        "city in training; the recipe was tuned by looking at them, and the last step is reported. "
        "The model hears a dialogue until the traveller has asked; then it makes up both speakers, always the "
        f"likeliest token. The export says {summary.exported_frames_equal} of {summary.exported_frames} frames token "
        "for token as the run does.</p>",
        f"<h2>Loss of each stream</h2><div class=charts>{''.join(_curves(log))}</div>",
        f"<h2>The taking of turns after the prompts</h2>{_turn_taking(summary)}",
        "<h2>Held-out dialogues</h2><p>Left is the desk (A), right the traveller (B). Coloured: louder than "
        f"{LOUD_DB:g} dB.</p>",
        *(_dialogue(each) for each in continued),
    ]
    write_page(path, sections)


def _curves(log: list[dict[str, Any]]) -> list[str]:
    def points(prefix: str, stream: str) -> list[tuple[int, float]]:
        return [(line["step"], line[key]) for line in log if (key := f"{prefix}{stream}") in line]

    return [curve(title, points("loss_", name), points("validation_", name)) for name, title in STREAMS.items()]


def _turn_taking(summary: Summary) -> str:
    titles = {"real": "really", "continued": "continued"}
    columns = [asdict(summary.turn_taking[which]) for which in titles]
    rows = "".join(
        f"<tr><td>{title}" + "".join(f"<td class=number>{form.format(column[name])}" for column in columns)
        for name, (title, form) in TURN_TAKING.items()
    )
    head = "".join(f"<th class=number>{title}" for title in titles.values())
    return f"<table><tr><th>{head}{rows}</table>"


def _dialogue(continued: Continued) -> str:
    real, found = continued.real, continued.found
    sound = torch.cat([found.prompt, found.waveform], 1)
    assert real.sample.dialogue is not None
    picture = timeline(
        [
            Roll("really", utterances(real.waveform, real.sample_rate), real.sample.dialogue.words,
                 real.prompt_seconds + real.seconds),
            Roll("continued by the model", utterances(sound, real.sample_rate), continued.words,
                 sound.shape[1] / real.sample_rate),
        ],
        real.prompt_seconds,
    )  # fmt: skip
    verdict = "<ins>right</ins>" if continued.right else "<del>wrong</del>"
    return (
        f"<h3>{escape(real.sample.key)}: {verdict}</h3>"
        f"<table><tr><th><th>sound<th>A after the prompt"
        f"<tr><td>really<td>{_player(real.waveform, real.sample_rate)}<td>{_text(real.said)}"
        f"<tr><td>continued<td>{_player(sound, real.sample_rate)}<td>{_text(found.words)}</table>{picture}"
    )


def _player(waveform: Tensor, sample_rate: int) -> str:
    file = io.BytesIO()
    samples = waveform.clamp(-1, 1).T.numpy()
    soundfile.write(file, samples, sample_rate, format="OGG", subtype="OPUS", compression_level=0.5)
    sound = base64.b64encode(file.getvalue()).decode()
    return f'<audio controls preload=none src="data:audio/ogg;base64,{sound}"></audio>'


def _text(words: Sequence[Word]) -> str:
    return escape(" ".join(word.text for word in words))

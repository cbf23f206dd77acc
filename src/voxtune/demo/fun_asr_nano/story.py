"""A small Fun-ASR-Nano that has never heard of a harbour learns its words."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import yaml
from rich.console import Console

from voxtune.api import SpeechModel, load
from voxtune.data.manifest import read_samples
from voxtune.data.sample import Sample
from voxtune.demo.fun_asr_nano.report import write_report
from voxtune.demo.fun_asr_nano.summary import Summary, TestSet
from voxtune.evaluation.error_rate import ErrorRate, error_rate
from voxtune.export import export
from voxtune.recipe import Recipe, parse_recipe
from voxtune.recipes import read_recipe_text
from voxtune.training.monitor import read_log
from voxtune.training.run import train

SPEECH = Path(__file__).parent
TESTS = {"test_seen": "voices heard in fine-tuning", "test_unseen": "voices never heard"}

LOSSES = ["cross-entropy of the text, as upstream; no auxiliary loss"]


def run(output: Path, console: Console) -> str:
    """Transcribe, fine-tune, transcribe again, export; write `summary.json` and `report.html` into `output`."""
    began = time.monotonic()
    torch.set_num_threads(1)  # so small a model gains little from a second core, and loses much on a busy one
    tests = {name: read_samples(SPEECH / f"{name}_wav.scp") for name in TESTS}

    console.rule("1  A small Fun-ASR-Nano hears a harbour for the first time")
    base = load("tiny")
    before = {name: _score(base, samples) for name, samples in tests.items()}
    _show(console, before, "WER before")

    console.rule("2  Fine-tuning")
    recipe = demo_recipe(output / "run")
    training_began = time.monotonic()
    progress = train(recipe, console)
    training_seconds = time.monotonic() - training_began

    console.rule("3  The same test sentences again")
    tuned = load(output / "run", checkpoint="last")
    after = {name: _score(tuned, samples) for name, samples in tests.items()}
    _show(console, after, "WER after")

    console.rule("4  Export in upstream's layout, and one file transcribed from it")
    export(output / "run", output / "export", checkpoint="last", verify=True)
    one = tests["test_unseen"][0]
    [heard] = load(output / "export").transcribe(one.audio[0].path)
    console.print(f"{Path(one.audio[0].path).name}: {heard.text}")

    sets = [TestSet(TESTS[name], before[name], after[name]) for name in TESTS]
    everything = {name: _joined(list(rates.values())) for name, rates in (("before", before), ("after", after))}
    summary = Summary(
        wer_before=everything["before"].rate,
        wer_after=everything["after"].rate,
        wer_after_interval=(everything["after"].low, everything["after"].high),
        by_set={name: {"before": before[name].rate, "after": after[name].rate} for name in TESTS},
        steps=progress.step,
        training_seconds=round(training_seconds, 1),
        seconds=round(time.monotonic() - began, 1),
        losses=LOSSES,
    )
    recordings = {sample.key: Path(sample.audio[0].path) for samples in tests.values() for sample in samples}
    write_report(output / "report.html", summary, sets, read_log(output / "run"), recordings)
    summary.write(output / "summary.json")
    return f"WER {summary.wer_before:.1%} before, {summary.wer_after:.1%} after, in {summary.seconds:.0f} s."


def demo_recipe(output: Path) -> Recipe:
    """The recipe of the demo, on the speech of this folder."""
    raw = yaml.safe_load(read_recipe_text("fun_asr_nano/demo"))
    for split in ("train", "validation"):
        raw["data"][split] = [{"path": str(SPEECH / name)} for name in raw["data"][split]]
    raw["train"]["output"] = str(output)
    return parse_recipe(raw, "fun_asr_nano/demo")


def _score(model: SpeechModel, samples: list[Sample]) -> ErrorRate:
    heard = model.transcribe([sample.question() for sample in samples], max_new_tokens=32, batch_size=25)
    references = {sample.key: sample.answer for sample in samples}
    return error_rate(references, {sample.key: h.text for sample, h in zip(samples, heard, strict=True)}, "word")


def _joined(rates: list[ErrorRate]) -> ErrorRate:
    utterances = [utterance for rate in rates for utterance in rate.utterances]
    return error_rate({u.key: u.reference for u in utterances}, {u.key: u.hypothesis for u in utterances}, "word")


def _show(console: Console, rates: dict[str, ErrorRate], title: str) -> None:
    for name, rate in rates.items():
        worst = rate.utterances[0]
        console.print(f"{title}, {TESTS[name]}: [bold]{rate.rate:.1%}[/] ({rate.low:.1%} to {rate.high:.1%})")
        console.print(f"   said:  {worst.reference}\n   heard: {worst.hypothesis}", highlight=False, style="dim")

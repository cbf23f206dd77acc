"""A small Moshi that knows nothing learns to be a station desk, and to take turns with a traveller."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
import yaml
from rich.console import Console
from rich.markup import escape

from voxtune.api import SpeechModel, load
from voxtune.checking import check
from voxtune.conversation.output import write_continuation
from voxtune.data.encoded import TEXT_PADDING, write_encoded_npz
from voxtune.data.example import pack
from voxtune.data.feature_cache import FeatureCache
from voxtune.data.manifest import read_samples
from voxtune.data.sample import Sample
from voxtune.demo.moshi.heldout import Continued, HeldOut, following, held_out, words_of
from voxtune.demo.moshi.report import STREAMS, write_report
from voxtune.demo.moshi.summary import Summary
from voxtune.demo.moshi.turns import TurnTaking, turn_taking, utterances
from voxtune.encoding import prepare_cache
from voxtune.errors import DataError
from voxtune.export import export
from voxtune.families.family import DialogueSettings, Layout
from voxtune.families.moshi.config import Options
from voxtune.recipe import Recipe, parse_recipe
from voxtune.recipes import read_recipe_text
from voxtune.training.assembly import Assembly, assemble
from voxtune.training.loading import Packs
from voxtune.training.monitor import read_log
from voxtune.training.parallel import processes
from voxtune.training.run import train

DIALOGUES = Path(__file__).with_name("dialogues")


def run(output: Path, console: Console) -> str:
    """Check, encode, train, go on with held-out dialogues, export; write `summary.json` and `report.html`."""
    began = time.monotonic()
    torch.set_num_threads(1)  # so small a model gains little from a second core, and loses much on a busy one
    recipe = demo_recipe(output)
    splits = {split: read_samples(DIALOGUES / split) for split in ("train", "validation")}

    with processes() as parallel:
        made = assemble(recipe, parallel)
        console.rule("1  The dialogues")
        spoken = {split: [_recorded(sample, made.layout) for sample in samples] for split, samples in splits.items()}
        _show_data(splits, spoken, made.layout, console)

        console.rule("2  Codes of both speakers, once")
        everything = [*made.corpus.samples, *made.validation.samples]
        cache = prepare_cache(recipe, made.family, made.model, made.layout, everything, parallel, console)
    before = _losses(made, cache)

    console.rule("3  Training: both speakers' streams, each speaker in turn the one that the model plays")
    training_began = time.monotonic()
    progress = train(recipe, console)
    training_seconds = time.monotonic() - training_began
    after = {name: progress.metrics[name] for name in STREAMS}

    console.rule("4  Held-out dialogues go on after the traveller's question")
    tuned = load(output / "run", checkpoint="last")
    continued = [_continued(tuned, real, output / "continuations", console) for real in spoken["validation"]]
    compared = _compared(continued)
    for which, found in compared.items():
        console.print(f"{which}: {_spoken(found)}", highlight=False)

    console.rule("5  Export for moshi.server, and one dialogue continued from it")
    export(output / "run", output / "export", checkpoint="last", verify=True)
    one = continued[0]
    equal = _equal_frames(load(output / "export", verb="converse"), tuned, one, output / "tokens")
    console.print(
        f"{one.found.key}, with what the run let B say: {equal} of {one.found.tokens.shape[1]} frames of A are the "
        "same, token for token"
    )

    options = cast(Options, recipe.model.options)
    summary = Summary(
        loss_before=before,
        loss_after=after,
        prompts=len(continued),
        right_answers=sum(each.right for each in continued),
        turn_taking=compared,
        exported_frames=one.found.tokens.shape[1],
        exported_frames_equal=equal,
        steps=progress.step,
        training_seconds=round(training_seconds, 1),
        seconds=round(time.monotonic() - began, 1),
        losses=[
            f"J-Moshi's: words 1, frames without one {options.text_padding_weight:g}, codes 1; of the codes a "
            f"speaker's first weighs {options.semantic_weight:g} and each other {options.acoustic_weight:g}"
        ],
    )
    log = [{"step": 0} | {f"validation_{name}": value for name, value in before.items()}, *read_log(output / "run")]
    write_report(output / "report.html", summary, continued, log)
    summary.write(output / "summary.json")
    return f"{summary.right_answers} of {summary.prompts} travellers got the right answer, in {summary.seconds:.0f} s."


def demo_recipe(output: Path) -> Recipe:
    """The recipe of the demo, on the dialogues of this folder, with its run and its codes in `output`."""
    raw = yaml.safe_load(read_recipe_text("moshi/demo"))
    for split in ("train", "validation"):
        raw["data"][split] = str(DIALOGUES / raw["data"][split])
    raw["data"]["feature_cache"] = str(output / "codes")
    raw["train"]["output"] = str(output / "run")
    return parse_recipe(raw, "moshi/demo")


def _recorded(sample: Sample, layout: Layout) -> HeldOut:
    return held_out(sample, torch.stack(layout.waveforms(sample)), layout.sample_rate)


def _show_data(
    splits: dict[str, list[Sample]], spoken: dict[str, list[HeldOut]], layout: Layout, console: Console
) -> None:
    """What is in the dialogues. Raises DataError when something is wrong with them."""
    report = check(splits, layout)
    for finding in [*report.errors, *report.warnings]:
        console.print(str(finding), markup=False, highlight=False)
    if report.errors:
        raise DataError(f"{DIALOGUES}: {len(report.errors)} errors in the dialogues of the package; install it again")
    for split, recorded in spoken.items():
        words = sum(len(sample.dialogue.words) for sample in splits[split] if sample.dialogue)
        found = turn_taking([utterances(r.waveform, r.sample_rate) for r in recorded], [r.frames for r in recorded])
        console.print(
            f"{split}: {len(recorded)} dialogues, {report.statistics[split].hours * 60:.1f} min, {words} words. "
            f"{_spoken(found)}",
            highlight=False,
        )


@torch.no_grad()
def _losses(made: Assembly, cache: FeatureCache | None) -> dict[str, float]:
    """The mean of each stream over the validation data."""
    made.model.eval()
    dataset = Packs(made.validation, made.layout, cache, made.recipe.train.seed)
    batch = pack([dataset.example(number, None) for number in range(len(made.validation.samples))])
    sums, counts = made.model(batch), made.model.label_counts(batch)
    return {name: float(sums[name]) / counts[name] for name in STREAMS}


def _continued(model: SpeechModel, real: HeldOut, folder: Path, console: Console) -> Continued:
    """Go on with a dialogue for as long as it really lasts, and write sound, tokens and words."""
    settings = DialogueSettings(
        prompt_seconds=real.prompt_seconds, seconds=real.seconds, temperature=0.0, text_temperature=0.0
    )
    [found] = model.converse(
        real.sample, prompt_seconds=settings.prompt_seconds, seconds=settings.seconds, temperature=0, text_temperature=0
    )
    write_continuation(folder, real.sample.key, real.sample, found, settings, real.sample_rate)
    continued = Continued(real, found)
    asked = " ".join(word.text for word in words_of(real.sample, "B") if word.end <= real.prompt_seconds)
    colour = "green" if continued.right else "red"
    console.print(f"B asks: {asked}   A goes on: [{colour}]{escape(' '.join(continued.text))}[/]", highlight=False)
    return continued


def _compared(continued: Sequence[Continued]) -> dict[str, TurnTaking]:
    """How turns are taken in what really follows the prompts, and in what the model lets follow."""
    frames = [each.real.frames - each.real.prompt_frames for each in continued]
    real = [following(each.real.waveform, each.real.sample_rate, each.real.prompt_frames) for each in continued]
    made_up = [utterances(each.found.waveform, each.real.sample_rate) for each in continued]
    return {"real": turn_taking(real, frames), "continued": turn_taking(made_up, frames)}


def _spoken(found: TurnTaking) -> str:
    return (
        f"A alone speaks {found.only_a:.0%} of the time, B alone {found.only_b:.0%}, both {found.both:.0%}, nobody "
        f"{found.nobody:.0%}; {found.turns:.1f} turns a dialogue, {found.gap_seconds:.2f} s between them"
    )


def _equal_frames(exported: SpeechModel, tuned: SpeechModel, one: Continued, folder: Path) -> int:
    """How many frames of a continuation the exported model says again, token for token.

    It does not predict the partner: so it is given the prompt and what the run's model let the partner say, as tokens
    in upstream's files.
    """
    real, layout = one.real, tuned.ready.layout
    a, b = layout.token_rows(real.sample, layout.waveforms(real.sample))
    text_and_own = len(a)
    silent = torch.full_like(one.found.tokens[:1], TEXT_PADDING)
    whole = (
        torch.cat([a[:, : real.prompt_frames], one.found.tokens[:text_and_own]], 1),
        torch.cat([b[:, : real.prompt_frames], torch.cat([silent, one.found.tokens[text_and_own:]])], 1),
    )
    [sample] = read_samples(write_encoded_npz(folder, [(real.sample.key, whole[0].numpy(), whole[1].numpy())]))
    [again] = exported.converse(
        sample, prompt_seconds=real.prompt_seconds, seconds=real.seconds, temperature=0, text_temperature=0
    )
    same = again.tokens[:text_and_own] == one.found.tokens[:text_and_own]
    return int(same.all(0).sum())

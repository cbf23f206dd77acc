"""Make the speech of the demo with espeak-ng: `python demo/fun_asr_nano/make_speech.py [base|harbour|all]`.

`base` fills a cache for training the built-in model, build/demo/base (not in git):
    speech.wav                       all utterances end to end, 16 kHz mono
    train.jsonl, validation.jsonl    key, audio, start, duration and text of each, as `voxtune` reads them
`harbour` writes the data set that ships with the package, src/voxtune/demo/fun_asr_nano, as a user would lay it out:
    {split}_wav.scp, {split}_text.txt and speech/{split}/{key}.opus for four splits.

Everything follows from SEED; the same espeak-ng release gives the same samples.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
from domains import HARBOUR, HOME, Domain
from numpy.typing import NDArray
from rich.progress import track
from synthesis import SAMPLE_RATE, Utterance, synthesise, through_opus, write_opus

from voxtune.files import atomic_folder, write_text

Result = TypeVar("Result")

ROOT = Path(__file__).parents[2]
BASE = ROOT / "build/demo/base"
SHIPPED = ROOT / "src/voxtune/demo/fun_asr_nano"

SEED = 20
BASE_SPLITS = {"train": 14000, "validation": 200}
# Split -> number of utterances and the group of voices that speaks them.
HARBOUR_SPLITS = {
    "train": (680, "seen"),
    "validation": (40, "seen"),
    "test_seen": (50, "seen"),
    "test_unseen": (50, "unseen"),
}
LEAST_OCCURRENCES = 20
SHIPPED_LIMIT = 6_000_000


def plan_base() -> dict[str, list[Utterance]]:
    """Sentences and voices of the base data. Sentences of the validation split do not occur in training."""
    rng = np.random.default_rng((SEED, 0))
    validation = _distinct(HOME, BASE_SPLITS["validation"], rng)
    sentences = {"train": _sentences(HOME, BASE_SPLITS["train"], set(validation), rng), "validation": validation}
    return _assign(HOME, sentences, dict.fromkeys(BASE_SPLITS, HOME.voices["base"]), domain_seed=1)


def plan_harbour() -> dict[str, list[Utterance]]:
    """Sentences and voices of the shipped data. The validation and the test sentences are all different and do not
    occur in training."""
    rng = np.random.default_rng((SEED, 10))
    held_out = [split for split in HARBOUR_SPLITS if split != "train"]
    distinct = iter(_distinct(HARBOUR, sum(HARBOUR_SPLITS[split][0] for split in held_out), rng))
    sentences = {split: [next(distinct) for _ in range(HARBOUR_SPLITS[split][0])] for split in held_out}
    excluded = {text for texts in sentences.values() for text in texts}
    sentences = {"train": _sentences(HARBOUR, HARBOUR_SPLITS["train"][0], excluded, rng)} | sentences
    voices = {split: HARBOUR.voices[group] for split, (_, group) in HARBOUR_SPLITS.items()}
    return _assign(HARBOUR, sentences, voices, domain_seed=2)


def _sentences(domain: Domain, count: int, excluded: set[str], rng: np.random.Generator) -> list[str]:
    texts: list[str] = []
    while len(texts) < count:
        if (text := domain.sentence(rng)) not in excluded:
            texts.append(text)
    return texts


def _distinct(domain: Domain, count: int, rng: np.random.Generator) -> list[str]:
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[domain.sentence(rng)] = None
    return list(texts)


def _assign(
    domain: Domain, sentences: dict[str, list[str]], voices: dict[str, tuple[str, ...]], domain_seed: int
) -> dict[str, list[Utterance]]:
    """Give every sentence a key, a voice (all voices of a split in turn) and a seed."""
    plan: dict[str, list[Utterance]] = {}
    number = 0
    for split, texts in sentences.items():
        plan[split] = []
        for i, text in enumerate(texts):
            number += 1
            voice = voices[split][i % len(voices[split])]
            plan[split].append(Utterance(f"{domain.name}-{number:05d}", text, voice, (SEED, domain_seed, number)))
    return plan


def verify_harbour(plan: dict[str, list[Utterance]]) -> None:
    """Assert what the demo promises about its data: nothing tested was trained on, and nothing is out of reach."""
    texts = {split: {utterance.text for utterance in utterances} for split, utterances in plan.items()}
    held_out = [texts["validation"], texts["test_seen"], texts["test_unseen"]]
    all_held_out = {text for split in held_out for text in split}
    assert len(all_held_out) == sum(len(split) for split in held_out), "a held-out sentence occurs twice"
    assert not texts["train"] & all_held_out, "a held-out sentence occurs in training"
    words = Counter(word for utterance in plan["train"] for word in utterance.text.split())
    rare = {word for word in HARBOUR.vocabulary() if words[word] < LEAST_OCCURRENCES}
    assert not rare, f"fewer than {LEAST_OCCURRENCES} training occurrences: {sorted(rare)}"
    speakers = {split: {utterance.voice for utterance in utterances} for split, utterances in plan.items()}
    assert speakers["test_seen"] <= speakers["train"], "a voice of test_seen was not heard in training"
    # A voice is an accent with a variant (the timbre): unseen means that the variant itself was never heard.
    variants = {voice.split("+")[1] for voice in speakers["train"] | set(HOME.voices["base"])}
    assert not variants & {voice.split("+")[1] for voice in speakers["test_unseen"]}, "a voice of test_unseen was heard"


def make_base(pool: ProcessPoolExecutor) -> None:
    """Synthesise the base data: one file of sound, and for each split a manifest of stretches of it."""
    plan = plan_base()
    splits = {utterance.key: split for split, utterances in plan.items() for utterance in utterances}
    utterances = [utterance for split in plan.values() for utterance in split]
    shutil.rmtree(BASE, ignore_errors=True)
    with atomic_folder(BASE) as folder:
        start = 0
        lines: dict[str, list[str]] = {split: [] for split in plan}
        with soundfile.SoundFile(folder / "speech.wav", "w", SAMPLE_RATE, 1, "PCM_16") as waveforms:
            for utterance, samples in zip(utterances, _progress(pool, _base_samples, utterances, "base"), strict=True):
                waveforms.write(samples)
                place = {"start": start / SAMPLE_RATE, "duration": len(samples) / SAMPLE_RATE}
                line = {"key": utterance.key, "audio": "speech.wav", **place, "text": utterance.text}
                lines[splits[utterance.key]].append(json.dumps(line) + "\n")
                start += len(samples)
        for split, of_split in lines.items():
            write_text(folder / f"{split}.jsonl", "".join(of_split))
    print(f"base: {len(utterances)} utterances, {start / SAMPLE_RATE / 3600:.2f} h")


def _base_samples(utterance: Utterance) -> NDArray[np.int16]:
    waveform = synthesise(utterance, HOME)
    if np.random.default_rng((*utterance.seed, 1)).random() < HOME.codec_share:
        waveform = through_opus(waveform)
    return (np.clip(waveform, -1, 1) * 32767).round().astype(np.int16)


def make_harbour(pool: ProcessPoolExecutor) -> None:
    """Synthesise the shipped data set."""
    plan = plan_harbour()
    verify_harbour(plan)
    shutil.rmtree(SHIPPED / "speech", ignore_errors=True)
    with atomic_folder(SHIPPED / "speech") as speech:
        for split, utterances in plan.items():
            (speech / split).mkdir()
            write = partial(_write_harbour, folder=speech / split)
            seconds = sum(_progress(pool, write, utterances, split))
            size = sum(file.stat().st_size for file in (speech / split).iterdir())
            print(f"{split}: {len(utterances)} utterances, {seconds:.0f} s, {size} bytes")
        size = sum(file.stat().st_size for file in speech.rglob("*.opus"))
        assert size <= SHIPPED_LIMIT, f"{size} bytes of speech are too many to ship"
    for split, utterances in plan.items():
        scp = "".join(f"{utterance.key} speech/{split}/{utterance.key}.opus\n" for utterance in utterances)
        write_text(SHIPPED / f"{split}_wav.scp", scp)
        write_text(SHIPPED / f"{split}_text.txt", "".join(f"{u.key} {u.text}\n" for u in utterances))


def _write_harbour(utterance: Utterance, folder: Path) -> float:
    waveform = synthesise(utterance, HARBOUR)
    write_opus(folder / f"{utterance.key}.opus", waveform)
    return len(waveform) / SAMPLE_RATE


def _progress(
    pool: ProcessPoolExecutor, work: Callable[[Utterance], Result], utterances: list[Utterance], name: str
) -> Iterator[Result]:
    yield from track(pool.map(work, utterances, chunksize=32), description=name, total=len(utterances))


def main() -> None:
    """Make the data sets named on the command line, by default both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="?", choices=["base", "harbour", "all"], default="all")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with ProcessPoolExecutor(arguments.processes) as pool:
        if arguments.which != "base":
            make_harbour(pool)
        if arguments.which != "harbour":
            make_base(pool)


if __name__ == "__main__":
    main()

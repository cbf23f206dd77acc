"""What is said in the built-in dialogues: a traveller (B) asks the station desk (A) for a train.

A dialogue is greeting, question, answer, thanks, close. The answer follows from the question: every city has its own
platform. All else is chosen freely, so a model has to listen to B for one word and to take turns for the rest. A may
say a short word into the question, and B into the answer; B may thank before A is done.

`dialogue_plan` gives every city 24 training dialogues and 1 held-out one, whose pair of greeting and question does not
occur with that city in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from espeak import Voice

PLATFORMS = {
    "paris": "one",
    "london": "two",
    "berlin": "three",
    "madrid": "four",
    "boston": "five",
    "vienna": "six",
    "tokyo": "seven",
    "lisbon": "eight",
}
GREETINGS = ("good morning, station desk", "hello, station desk", "good evening, station desk")
QUESTIONS = ("where is the train to {city}", "which platform for {city}", "hello, i want to go to {city}")
ANSWER = "the {city} train, platform {platform}"
THANKS = ("thank you", "great thanks")
CLOSES = ("you are welcome", "have a nice trip")
SYSTEM_BACKCHANNEL = "yes"
USER_BACKCHANNEL = "okay"

TRAINING_DIALOGUES_PER_CITY = 24

VOICES = {"A": "en-us+f2", "B": "en-us+m3"}
RATES = {"A": (180, 190), "B": (175, 185)}
PITCHES = {"A": (58, 64), "B": (34, 40)}


@dataclass(frozen=True)
class Turn:
    """What one speaker says. `begins` tells when: in seconds after the end of the turn before or, for a backchannel,
    as the share of that turn that has passed."""

    speaker: str
    text: str
    begins: float
    backchannel: bool = False


@dataclass(frozen=True)
class Dialogue:
    name: str
    turns: tuple[Turn, ...]
    voices: dict[str, Voice]


def voices(rng: np.random.Generator) -> dict[str, Voice]:
    """Both speakers, with one of their rates and pitches each."""
    return {
        speaker: Voice(name, int(rng.choice(RATES[speaker])), int(rng.choice(PITCHES[speaker])))
        for speaker, name in VOICES.items()
    }


def dialogue(name: str, city: str, greeting: str, question: str, rng: np.random.Generator) -> Dialogue:
    """One dialogue; what the arguments leave open is drawn."""
    turns = [Turn("A", greeting, 0.24), Turn("B", question.format(city=city), rng.uniform(0.2, 0.5))]
    if rng.random() < 0.5:
        turns.append(Turn("A", SYSTEM_BACKCHANNEL, rng.uniform(0.3, 0.5), backchannel=True))
    turns.append(Turn("A", ANSWER.format(city=city, platform=PLATFORMS[city]), rng.uniform(0.2, 0.5)))
    if rng.random() < 0.4:
        turns.append(Turn("B", USER_BACKCHANNEL, rng.uniform(0.4, 0.6), backchannel=True))
    turns.append(Turn("B", str(rng.choice(THANKS)), rng.uniform(-0.25, 0.4)))
    turns.append(Turn("A", str(rng.choice(CLOSES)), rng.uniform(0.2, 0.4)))
    return Dialogue(name, tuple(turns), voices(rng))


def dialogue_plan(seed: int) -> dict[str, list[Dialogue]]:
    """The dialogues of both splits."""
    plan: dict[str, list[Dialogue]] = {"train": [], "validation": []}
    pairs = list(product(GREETINGS, QUESTIONS))
    for number, city in enumerate(PLATFORMS):
        held_out, *others = [pairs[(number + index) % len(pairs)] for index in range(len(pairs))]
        for index in range(1 + TRAINING_DIALOGUES_PER_CITY):
            greeting, question = others[(index - 1) % len(others)] if index else held_out
            split = "train" if index else "validation"
            rng = np.random.default_rng((seed, number, index))
            plan[split].append(dialogue(f"{city}-{index}", city, greeting, question, rng))
    return plan


def texts() -> list[str]:
    """Every phrase of the grammar."""
    questions = [question.format(city=city) for question in QUESTIONS for city in PLATFORMS]
    answers = [ANSWER.format(city=city, platform=platform) for city, platform in PLATFORMS.items()]
    return [*GREETINGS, *questions, *answers, *THANKS, *CLOSES, SYSTEM_BACKCHANNEL, USER_BACKCHANNEL]

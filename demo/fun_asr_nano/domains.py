"""The two domains of the demo: what is said, and by whom.

`HOME` is what the built-in base model learns. `HARBOUR` is the new domain that ships with the package: most of its
words, its accents and its background noise are unknown to the base model.

A sentence is a template whose `{slots}` are filled at random. Within one sentence a slot never repeats a word, so
`{vessel} {vessel}` names two ships. All text is lower case and without punctuation.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Domain:
    """Sentence templates with weights, the words of their slots, and the espeak-ng voices of each group of speakers."""

    name: str
    templates: tuple[tuple[float, str], ...]
    slots: dict[str, tuple[str, ...]]
    voices: dict[str, tuple[str, ...]]
    rates: tuple[int, int]
    """Slowest and fastest speaking rate in words per minute."""
    noises: tuple[str, ...]
    snr_db: tuple[float, float]
    noisy_share: float
    """Share of the utterances with background noise, and its signal-to-noise ratio."""
    codec_share: float
    """Share of the utterances that went through the shipping codec."""

    def sentence(self, rng: np.random.Generator) -> str:
        """One random sentence."""
        weights = np.array([weight for weight, _ in self.templates])
        template = self.templates[rng.choice(len(weights), p=weights / weights.sum())][1]
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
        draws = {field: iter(rng.permutation(self.slots[field])) for field in dict.fromkeys(fields)}
        words = [str(next(draws[word[1:-1]])) if word.startswith("{") else word for word in template.split()]
        return " ".join(words)

    def vocabulary(self) -> set[str]:
        """Every word that a sentence of this domain may hold."""
        words = {word for _, template in self.templates for word in template.split() if not word.startswith("{")}
        return words.union(*self.slots.values())

    def initial_words(self) -> set[str]:
        """Every word that a sentence of this domain may begin with."""
        first = {template.split()[0] for _, template in self.templates}
        fields = {word for word in first if word.startswith("{")}
        return (first - fields).union(*(self.slots[field[1:-1]] for field in fields))


def _voices(accents: str, variants: str) -> tuple[str, ...]:
    return tuple(f"{accent}+{variant}" for accent in accents.split() for variant in variants.split())


def _slots(**slots: str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(words.split()) for name, words in slots.items()}


def _templates(*groups: tuple[float, Sequence[str]]) -> tuple[tuple[float, str], ...]:
    """Spread the weight of each group evenly over its templates."""
    return tuple((weight / len(templates), template) for weight, templates in groups for template in templates)


_DIGITS = "one two three four five six seven eight nine"

_HOME_SLOTS = _slots(
    digit=_DIGITS + " zero",
    tens="ten twenty thirty forty fifty",
    room="kitchen bedroom bathroom garage garden hallway office cellar balcony attic",
    device="lamp heater radio fan oven television camera speaker dishwasher printer",
    colour="red green blue yellow purple orange silver black white brown",
    person="anna peter maria thomas julia robert sophie daniel laura oliver",
    day="monday tuesday wednesday thursday friday saturday sunday",
    month="january march june august october",
    food="bread butter cheese apples coffee sugar rice chocolate pepper chicken salad honey lemons mushrooms",
    city="london paris berlin madrid tokyo boston vienna lisbon",
    animal="dog rabbit elephant tiger monkey horse turtle",
    vehicle="train bus taxi bicycle tractor helicopter",
    place="airport station library museum hospital school market bakery",
    weather="rain snow sunshine thunder fog wind",
    instrument="piano guitar violin trumpet drums",
    thing="table chair window mirror bottle hammer ladder umbrella suitcase blanket candle basket pencil notebook "
    "carpet scissors towel shelf feather engine",
    clothing="jacket trousers sweater gloves scarf",
    quality="small large heavy broken empty quiet wooden plastic gentle",
    time="tomorrow tonight today again later now",
    manner="slowly quickly carefully together",
    unit="minutes seconds hours degrees percent",
    noun="light door alarm timer meeting message letter picture song story ticket flight dinner breakfast "
    "temperature volume music water speed question answer number birthday holiday doctor teacher river mountain "
    "village journey weekend",
    # A list starts with one of few words: only these need a token of their own without a leading space.
    start="turn switch open close set play call send buy find show stop start remind order book check lock paint clean "
    "carry push",
)
_HOME_SLOTS["any"] = tuple(dict.fromkeys(word for words in _HOME_SLOTS.values() for word in words))

HOME = Domain(
    name="home",
    templates=_templates(
        # Words in random order: a model that guesses the template instead of listening gets these wrong.
        (
            0.45,
            [
                "{start} {any} {any} {any}",
                "{start} {any} {any} {any} {any}",
                "{start} {any} {any} {any} {any} {any}",
            ],
        ),
        (
            0.15,
            [
                "turn on the {device} in the {room}",
                "switch off the {colour} {device} please",
                "open the {quality} {thing} in the {room}",
                "close the door of the {room} at {digit}",
                "set the timer to {tens} {unit}",
                "set the {device} to {digit} {digit} {unit}",
                "play the {instrument} {manner}",
                "play some {instrument} music in the {room} {time}",
                "stop the {device} and start the {device}",
                "lock the {room} and the {room} {time}",
                "paint the {thing} {colour} and {colour}",
                "clean the {room} with the {thing}",
                "check the temperature of the {device} on {day}",
                "lower the volume of the {device} by {tens} percent",
            ],
        ),
        (
            0.20,
            [
                "call {person} and {person} {time}",
                "send a message to {person} at {digit} {tens}",
                "remind {person} to buy {food} and {food}",
                "buy {digit} {food} for {person}",
                "order {food} with {food} and {food}",
                "{person} needs a {colour} {clothing} from the {place}",
                "{person} and {person} have a meeting on {day}",
                "{person} will feed the {animal} and the {animal}",
                "{person} was born in {month} and {person} in {month}",
                "show me the letter from {person} about the {animal}",
                "where is the {colour} {clothing} of {person}",
                "put the {thing} behind the {quality} {thing}",
                "bring the {thing} and the {clothing} to the {room}",
                "we need {digit} {food} and a {thing} for the {noun}",
                "please move the {quality} {thing} to the {place}",
                "carry the {thing} over the {noun}",
            ],
        ),
        (
            0.20,
            [
                "book a flight from {city} to {city} on {day}",
                "find a {vehicle} to the {place} near {city}",
                "the {vehicle} to {city} is {tens} minutes late",
                "the {animal} is under the {colour} {thing}",
                "this {quality} {animal} is not in the {place}",
                "will there be {weather} in {city} on {day}",
                "we have {weather} and {weather} in {month}",
                "the {weather} in {city} was very {quality}",
                "the number is {digit} {digit} {digit} {digit}",
                "room {digit} {digit} at the {place}",
                "my {noun} and your {noun} are on the {thing}",
                "what is the {noun} for {day} the {digit} of {month}",
                "how many {food} are between the {thing} and the {thing}",
                "take the {vehicle} past the {place} at {digit}",
            ],
        ),
    ),
    slots=_HOME_SLOTS,
    voices={
        "base": _voices(
            "en-us en-gb en-gb-x-rp en-gb-x-gbcwmd en-us-nyc",
            "f1 f2 f4 f5 m1 m2 m3 m4 m6 m8 Alex Andy Annie Denis Gene Michael Mike anika aunty max paul robert",
        )
    },
    rates=(145, 190),
    noises=("white", "pink"),
    snr_db=(15.0, 40.0),
    noisy_share=0.8,
    codec_share=0.5,
)

HARBOUR = Domain(
    name="harbour",
    templates=_templates(
        (
            1.0,
            [
                "{vessel} proceed to berth {digit}",
                "{vessel} proceed to the {place} at {several} knots",
                "{vessel} anchor near the {place}",
                "{kind} {vessel} turn to {side} now",
                "harbour control this is the {kind} {vessel}",
                "harbour control we need a pilot at berth {digit}",
                "pilot to {kind} {vessel} turn {side} at the {place}",
                "captain of the {kind} switch to channel {digit}",
                "captain {vessel} is on channel {digit}",
                "inspect the {cargo} on the {kind}",
                "inspect {vessel} and {vessel} at the {place}",
                "tugboat {vessel} assist the {kind} to {side}",
                "{kind} past the {place} at {several} knots",
                "crane {digit} unload the {cargo}",
                "crane {digit} move {cargo} to the {place}",
                "unload {cargo} and {cargo} from the {kind}",
                "{cargo} for the {kind} {vessel} at berth {digit}",
                "call {vessel} {vessel} and {vessel}",
            ],
        ),
    ),
    slots=_slots(
        vessel="falcon marigold odyssey tempest barracuda juniper pelican valkyrie",
        kind="ferry freighter tugboat schooner",
        place="jetty lighthouse breakwater dockyard",
        cargo="containers timber cement bananas diesel",
        side="starboard portside",
        digit=_DIGITS,
        several=_DIGITS.removeprefix("one "),
    ),
    voices={
        "seen": (
            "en-gb-scotland+f3",
            "en-gb-scotland+shelby",
            "en-gb-scotland+m5",
            "en-029+m5",
            "en-029+ed",
            "en-029+f3",
            "en-gb-x-gbclan+ed",
            "en-gb-x-gbclan+shelby",
        ),
        "unseen": (
            "en-gb-scotland+m7",
            "en-029+belinda",
            "en-gb-x-gbclan+victor",
            "en-gb-scotland+belinda",
            "en-029+victor",
            "en-gb-x-gbclan+m7",
        ),
    },
    rates=(150, 185),
    noises=("pink", "engine"),
    snr_db=(12.0, 30.0),
    noisy_share=0.6,
    codec_share=1.0,
)

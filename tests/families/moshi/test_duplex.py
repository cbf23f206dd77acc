"""A live conversation: tokens as if computed anew, waveforms as the codec makes them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.families.moshi.sizes import BOTH, CONFIG, small_moshi
from tests.helpers.moshi_folder import tiny
from voxtune.families.family import DialogueSettings
from voxtune.families.moshi import FAMILY
from voxtune.families.moshi.config import Options
from voxtune.families.moshi.duplex import LiveRows, MoshiDuplex
from voxtune.families.moshi.frames import FrameSampling
from voxtune.families.moshi.layout import MoshiLayout
from voxtune.families.moshi.model import Moshi
from voxtune.families.moshi.user_stream import extended
from voxtune.parts.attention import Segments
from voxtune.parts.sampling import Sampling

GREEDY = FrameSampling(Sampling(0), Sampling(0))
DRAWN = FrameSampling(Sampling(0.7, 20), Sampling(0.9, 12))
FRAMES = 15


def partner(frames: int = FRAMES, batch: int = 2, seed: int = 0) -> Tensor:
    """Codes [frames, batch, codebooks]."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, CONFIG.card, (frames, batch, CONFIG.codebooks), generator=random)


def said(rows: LiveRows, heard: Tensor) -> list[Tensor | None]:
    return [rows.step(codes) for codes in heard]


@torch.no_grad()
def test_cached_is_computed_anew() -> None:
    """Beyond the window of 9 frames; each frame is drawn from all that was fed before, its delays kept."""
    model, heard, delays = small_moshi(), partner(), CONFIG.delays
    rows = LiveRows(model, GREEDY, [0, 1])
    drawn = []
    found = []
    for codes in heard:
        found.append(rows.step(codes))
        drawn.append(rows.said[:, :, -1])
    own = 1 + CONFIG.codebooks
    for row in range(2):
        fed = torch.tensor([CONFIG.initial_tokens] * FRAMES)
        for stream, delay in enumerate(delays):
            for frame in range(delay + 1, FRAMES):
                fed[frame, stream] = (
                    drawn[frame - 1][row, stream] if stream < own else heard[frame - delay, row, stream - own]
                )
        tokens = torch.stack([frame[row] for frame in drawn], 1)
        hidden = model.frames(fed.T, Segments([FRAMES], fed.device))
        assert torch.equal(tokens[0], model.text_logits(hidden).argmax(-1))
        assert torch.equal(tokens[1:], model.linears(model.depth_states(hidden, tokens[:-1])).argmax(-1))
        for frame in range(1, FRAMES):
            expected = [int(drawn[frame - 1 + delay][row, stream]) for stream, delay in enumerate(delays[:own])]
            assert found[frame] is not None
            assert found[frame][row].tolist() == expected
    assert found[0] is None


def test_of_a_model_for_both_only_one_speaks() -> None:
    one = small_moshi()
    state, config = extended(one.state_dict(), CONFIG)
    both = Moshi(config).eval()
    both.load_state_dict(state)
    assert both.config.dep_q == BOTH.dep_q
    heard = partner()
    expected, found = (said(LiveRows(model, DRAWN, [3, 4]), heard)[1:] for model in (one, both))
    assert torch.equal(torch.stack(found), torch.stack(expected))


def test_the_partner_is_heard_but_for_the_first_frame() -> None:
    model, heard = small_moshi(), partner()
    said_first = said(LiveRows(model, GREEDY, [0, 1]), heard)[1:]
    other_beginning = heard.clone()
    other_beginning[0] = partner(1, seed=1)[0]
    assert torch.equal(torch.stack(said(LiveRows(model, GREEDY, [0, 1]), other_beginning)[1:]), torch.stack(said_first))
    other_end = heard.clone()
    other_end[1:] = partner(FRAMES - 1, seed=2)
    assert not torch.equal(torch.stack(said(LiveRows(model, GREEDY, [0, 1]), other_end)[1:]), torch.stack(said_first))


def test_a_conversation_begins_anew_with_the_same_random_numbers() -> None:
    heard = partner()
    rows = LiveRows(small_moshi(), DRAWN, [3, 4])
    first = said(rows, heard)[1:]
    rows.reset()
    assert rows.step(heard[0]) is None
    assert torch.equal(torch.stack(said(rows, heard[1:])), torch.stack(first))


def test_neighbours_do_not_matter() -> None:
    heard, model = partner(), small_moshi()
    together = torch.stack(said(LiveRows(model, DRAWN, [3, 4]), heard)[1:])
    alone = torch.stack(said(LiveRows(model, DRAWN, [4]), heard[:, 1:])[1:])
    assert torch.equal(alone[:, 0], together[:, 1])


def test_memory_does_not_grow() -> None:
    rows = LiveRows(small_moshi(), GREEDY, [0])
    place, size = rows.cache.states.data_ptr(), rows.cache.states.shape
    for codes in partner(40, 1):
        rows.step(codes)
        assert rows.said.shape[2] == rows.heard.shape[2] == 1 + max(CONFIG.delays)
    assert (rows.cache.states.data_ptr(), rows.cache.states.shape) == (place, size)
    assert size[3] == CONFIG.context


@pytest.fixture(scope="module")
def built_in() -> tuple[Moshi, MoshiLayout]:
    model = tiny()
    layout = FAMILY.layout(model, Options(), "dialogue")
    assert isinstance(layout, MoshiLayout)
    return model, layout


def sounds(frames: int, frame_size: int) -> Tensor:
    return 0.1 * torch.randn(frames, frame_size, generator=torch.Generator().manual_seed(0))


class TestWaveforms:
    def test_codec_and_tokens(self, built_in: tuple[Moshi, MoshiLayout]) -> None:
        """The codec's encoder begins anew behind the first frame; the decoder does not."""
        model, layout = built_in
        settings = DialogueSettings(seed=3)
        duplex = FAMILY.duplex(model, layout, settings)
        assert (duplex.sample_rate, duplex.frame_size) == (
            layout.assets.codec.sample_rate,
            layout.assets.codec.frame_size,
        )
        heard = sounds(8, duplex.frame_size)
        found = [duplex.step(frame) for frame in heard]
        codes = torch.cat([layout.assets.codec.encode([part])[0] for part in (heard[0], heard[1:].flatten())], 1)
        sampling = FrameSampling(
            Sampling(settings.text_temperature, settings.text_top_k), Sampling(settings.temperature, settings.top_k)
        )
        rows = LiveRows(model, sampling, [3])
        tokens = [rows.step(codes[:, frame][None]) for frame in range(8)]
        expected = layout.assets.codec.decode([torch.cat(tokens[1:])[:, 1:].T])[0]  # type: ignore[arg-type]
        assert found[0] == (None, "")
        spoken = torch.cat([waveform for waveform, _ in found[1:] if waveform is not None])
        assert spoken.shape == (7 * duplex.frame_size,)
        torch.testing.assert_close(spoken, expected, atol=1e-5, rtol=1e-4)

    def test_reset(self, built_in: tuple[Moshi, MoshiLayout]) -> None:
        duplex = FAMILY.duplex(*built_in, DialogueSettings())
        heard = sounds(6, duplex.frame_size)
        first = [duplex.step(frame) for frame in heard]
        duplex.reset()
        for (waveform, text), (again, same) in zip(first, [duplex.step(frame) for frame in heard], strict=True):
            assert text == same
            assert (waveform is None and again is None) or torch.equal(waveform, again)  # type: ignore[arg-type]

    def test_text(self, built_in: tuple[Moshi, MoshiLayout], monkeypatch: pytest.MonkeyPatch) -> None:
        """Pieces with their spaces; bytes when the character is whole; nothing of padding."""
        model, layout = built_in
        tokenizer, ids = layout.assets.tokenizer, layout.assets.text
        duplex = MoshiDuplex(model, layout, DialogueSettings())
        (tokens,) = tokenizer.encode(["good é morning"])
        row = [ids.padding, ids.end_of_padding, *tokens, model.config.text_card - 1 + 1]
        monkeypatch.setattr(duplex.rows, "step", lambda codes: torch.tensor([[row.pop(0), *[0] * 8]]))
        said = [duplex.step(frame)[1] for frame in sounds(len(row), duplex.frame_size)]
        assert "".join(said) == " good é morning"
        assert said[:2] == ["", ""]
        assert "\N{REPLACEMENT CHARACTER}" not in "".join(said)

"""The generator over a stream against the generator of the whole clip."""

import numpy as np
import pytest
import torch
from test_vocoder_generator import VARIANTS, random_mel

from rtmri_speech.vocoder.config import VocoderConfig
from rtmri_speech.vocoder.engine import Vocoder
from rtmri_speech.vocoder.generator import Generator
from rtmri_speech.vocoder.streaming import StreamedGenerator

HOP = 420


@pytest.fixture(params=VARIANTS)
def generator(request):
    """In float64, with weights that carry a change through the leaky ReLUs to the ends of what it reaches."""
    generator = Generator(VocoderConfig(**VARIANTS[request.param])).fold().double()
    for parameter in generator.parameters():
        parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(3))
    return generator


def streamed(generator, mel, lengths):
    """Samples of a mel ``(1, n_mels, T)`` in blocks of the given lengths, which reach beyond its end."""
    stream, count = StreamedGenerator(generator), mel.shape[2]
    assert sum(lengths) * HOP >= count * HOP + stream.delay
    after = torch.nn.functional.pad(mel, (0, sum(lengths) - count))
    exists = (torch.arange(after.shape[2]) < count).to(mel.dtype)[None, None]
    state, made = torch.zeros(stream.state_size, dtype=mel.dtype), []
    with torch.no_grad():
        for block, here in zip(after.split(lengths, 2), exists.split(lengths, 2), strict=True):
            samples, state = stream(block, here, state)
            made.append(samples)
    return torch.cat(made, 2)[0, 0, stream.delay :][: count * HOP]


@pytest.mark.parametrize("lengths", [[1] * 40, [4, 3, 1, 9, 23], [40]], ids=["single", "unequal", "one"])
@pytest.mark.parametrize("frames", [1, 3, 27])
def test_blocks_of_any_length_make_the_samples_of_the_whole_clip(generator, frames, lengths):
    mel = random_mel(frames).double()
    with torch.no_grad():
        whole = generator(mel)[0, 0]
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(streamed(generator, mel, lengths), whole, rtol=0, atol=1e-12)


def test_what_follows_the_clip_does_not_change_it(generator):
    mel = random_mel(5).double()
    stream, noise = StreamedGenerator(generator), torch.cat([mel, random_mel(20).double()], 2)
    exists = (torch.arange(25) < 5).double()[None, None]
    with torch.no_grad():
        samples, _ = stream(noise, exists, torch.zeros(stream.state_size).double())
        expected = generator(mel)[0, 0]
    torch.testing.assert_close(samples[0, 0, stream.delay :][: 5 * HOP], expected, rtol=0, atol=1e-12)


def test_the_delay_is_what_a_sample_depends_on_of_the_future(generator):
    mel = random_mel(60).double()
    changed = mel.clone()
    changed[:, :, 30] += 3
    with torch.no_grad():
        touched = (generator(changed) - generator(mel))[0, 0].nonzero()
    first, delay = touched.min().item(), StreamedGenerator(generator).delay
    # Transposed convolutions reach as far only at some places within a frame.
    assert 30 * HOP - delay <= first < 31 * HOP - delay


@pytest.mark.parametrize("block_frames", [1, 5])
def test_a_stream_waits_only_for_its_block_and_the_delay(block_frames):
    config = VocoderConfig(**VARIANTS["official 2"])
    vocoder = Vocoder(Generator(config), config, block_frames=block_frames)
    given = samples = 0

    def frames():
        nonlocal given
        for piece in np.split(random_mel(60)[0].numpy(), 60, axis=1):
            given += 1
            yield piece

    for block in vocoder.stream(frames()):
        # When the first of the block's samples came, frames of this many samples were there.
        assert given == 60 or given * HOP < samples + vocoder.delay + (block_frames + 1) * HOP
        samples += len(block)
    assert samples == 60 * HOP

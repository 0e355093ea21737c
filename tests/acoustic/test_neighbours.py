"""Frames between their neighbours, against a loop over the frames of the whole clip, wherever they enter the CNN."""

import dataclasses

import numpy as np
import pytest
import tiny_models
import torch
from same_state import assert_same

from rtmri_speech.acoustic.data import Segments, prepared_frames
from rtmri_speech.acoustic.model import AcousticModel, Network
from rtmri_speech.acoustic.neighbours import all_around, around, differences
from rtmri_speech.acoustic.predict import load_acoustic_model, predict_db
from rtmri_speech.acoustic.train import train
from rtmri_speech.dataset.meta import load_mel_spec
from rtmri_speech.dataset.windows import WindowDataset
from rtmri_speech.errors import UserError
from rtmri_speech.preflight import check_models
from rtmri_speech.settings.acoustic import Augmentation, Training
from rtmri_speech.training.state import load_checkpoint


def channels_of(pictures, neighbours):
    """The channels of each frame of a clip (T, H, W): itself, then each neighbour less itself."""
    last = len(pictures) - 1
    clip = []
    for number, frame in enumerate(pictures):
        channels = [frame]
        for distance in range(-neighbours, neighbours + 1):
            if distance:
                channels.append(pictures[min(max(number + distance, 0), last)] - frame)
        clip.append(np.stack(channels))
    return np.stack(clip)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("count", [1, 2, 5, 11])
@pytest.mark.parametrize("neighbours", [0, 1, 3])
def test_channels_are_those_of_a_loop_in_blocks_of_any_size(neighbours, count, kind):
    pictures = np.random.default_rng(0).normal(size=(count, 1, 3, 4)).astype(np.float32)
    expected = channels_of(pictures[:, 0], neighbours)
    np.testing.assert_array_equal(differences(around(kind(pictures), range(count), neighbours)), expected)
    for size in (1, 2, 20):
        blocks = (kind(pictures[first : first + size]) for first in range(0, count, size))
        found = [differences(stacks) for stacks in all_around(blocks, neighbours)]
        np.testing.assert_array_equal(np.concatenate(found), expected)


def test_a_frame_is_there_as_soon_as_its_neighbours_are():
    come = []

    def blocks():
        for number in range(7):
            come.append(number)
            yield np.zeros((1, 1, 2, 2))

    found = [(len(stacks), len(come)) for stacks in all_around(blocks(), 2)]
    # The last two at once, when none comes any more.
    assert found == [(1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (2, 7)]


def test_one_convolution_over_the_channels_is_the_convolution_in_space_and_time():
    """For any weights in time there are weights of the channels: of the frame, the sum over time."""
    torch.manual_seed(0)
    pictures = torch.randn(6, 1, 8, 8)
    weights = torch.randn(4, 1, 5, 3, 3)
    ends = torch.cat([pictures[:1], pictures[:1], pictures, pictures[-1:], pictures[-1:]])
    expected = torch.nn.functional.conv3d(ends.transpose(0, 1)[None], weights, padding=(0, 1, 1))[0].transpose(0, 1)
    times = weights[:, 0]
    of_channels = torch.cat([times.sum(1, keepdim=True), times[:, :2], times[:, 3:]], 1)
    found = torch.nn.functional.conv2d(differences(around(pictures, range(6), 2)), of_channels, padding=1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("neighbours", [1, 2])
def test_segments_have_the_channels_of_the_whole_clip(tiny_processed, neighbours):
    windows = WindowDataset(tiny_processed, "training", 4)
    segments = Segments(windows, 3, 2, "frame", seed=3, neighbours=neighbours)
    keys = [(1, number) for number in range(len(segments))]
    found = torch.cat([part.frames for part in segments.micro_batches(keys)])
    expected, ends = [], set()
    for key in keys:
        clip, firsts = segments.segment(key)
        pictures = prepared_frames(np.asarray(windows.sample(clip).mri), (32, 32), "frame")[:, 0].numpy()
        expected.append(channels_of(pictures, neighbours)[firsts[0] : firsts[-1] + 4])
        ends |= {(clip, firsts[0] == 0), (clip, firsts[-1] + 4 == len(pictures))}
    np.testing.assert_array_equal(differences(found), np.concatenate(expected))
    assert len(ends) == 2 * len(windows.ids), "segments within, and at both ends"


def test_augmentation_moves_a_segment_and_its_neighbours_as_one(tiny_processed):
    windows = WindowDataset(tiny_processed, "training", 4)
    changes = Augmentation(shift=0.2, rotation=20, zoom=0.2, gain=0.3)
    alone, between = (
        Segments(windows, 3, 1, "unit", seed=3, augmentation=changes, neighbours=neighbours) for neighbours in (0, 1)
    )
    for number in range(len(alone)):
        (plain,), (stacks,) = (segments.micro_batches([(2, number)]) for segments in (alone, between))
        assert torch.equal(stacks.frames[:, 1:2], plain.frames)
        assert torch.equal(stacks.frames[1:, :1], plain.frames[:-1])
        assert torch.equal(stacks.frames[:-1, 2:], plain.frames[1:])


@pytest.mark.parametrize("normalisation", ["unit", "frame"])
def test_prediction_in_blocks_is_that_of_the_whole_clip(tmp_path, normalisation):
    checkpoint = tiny_models.write_acoustic(tmp_path / "mri.pt", neighbours=2, normalisation=normalisation)
    bundle, frames = load_acoustic_model(checkpoint, "cpu"), tiny_models.moving_bar(21)
    pictures = prepared_frames(frames, (32, 32), normalisation)[:, 0].numpy()
    with torch.inference_mode():
        channels = torch.from_numpy(channels_of(pictures, 2))
        expected = bundle.model.cnn.backbone(channels)[-1].mean((2, 3)).numpy()
    np.testing.assert_allclose(bundle.features(frames), expected, atol=1e-5)
    streamed = list(bundle.stream(iter(frames)))
    assert {part.shape for part in streamed} == {expected[:1].shape}
    np.testing.assert_allclose(np.concatenate(streamed), expected, atol=1e-5)


def test_the_causal_context_then_sees_as_many_frames_ahead(tmp_path):
    bundle = load_acoustic_model(tiny_models.write_acoustic(tmp_path / "mri.pt", neighbours=2), "cpu")
    frames = np.random.default_rng(0).integers(0, 256, (24, 32, 32)).astype(np.uint8)
    changed = frames.copy()
    changed[15:] = 255 - changed[15:]
    moved = np.abs(predict_db(bundle, changed, "causal") - predict_db(bundle, frames, "causal")).max(1) > 1e-4
    assert moved.argmax() == 13


def test_a_training_between_neighbours_resumes_bit_for_bit(tiny_training):
    changed = {"neighbours": 1, "augmentation": Augmentation(shift=0.1), "schedule": "plateau", "picture_epochs": 2}
    whole, stopped = tiny_training("whole", **changed, epochs=4), tiny_training("stopped", **changed, epochs=2)
    train(whole)
    train(stopped)
    train(dataclasses.replace(stopped, epochs=4))
    contents = [load_checkpoint(run.out_ckpt) for run in (whole, stopped)]
    for name in ("model_state_dict", "optimizer_state_dict"):
        assert_same(contents[0][name], contents[1][name], name)
    assert contents[0]["network"]["neighbours"] == load_acoustic_model(whole.out_ckpt, "cpu").neighbours == 1


def test_a_checkpoint_with_other_neighbours_is_refused_though_its_weights_fit(tiny_training):
    train(tiny_training("single", epochs=1))
    given = tiny_training("single").out_ckpt
    shapes = [
        [part.shape for part in AcousticModel(Network("test_efficientnet", neighbours=count)).parameters()]
        for count in (0, 1)
    ]
    assert shapes[0] == shapes[1]
    between, sentence = tiny_training("between", neighbours=1, resume_ckpt=given), "0 neighbours of each frame, not 1"
    with pytest.raises(UserError, match=rf"model\.pt: was trained with {sentence}; set acoustic"):
        train(between)
    network = {"backbone": "test_efficientnet", "neighbours": 1}
    with pytest.raises(UserError, match=sentence):
        check_models(load_mel_spec(between.processed_dir), network, resume_ckpt=given)


def test_a_warm_start_leaves_out_the_first_convolution_of_other_neighbours(tiny_training, said):
    settings = tiny_training(epochs=1, lr=1e-30, weight_decay=0.0)
    train(settings)
    first = "cnn.backbone.conv_stem.weight"
    before = load_checkpoint(settings.out_ckpt)["model_state_dict"]
    train(dataclasses.replace(settings, neighbours=1, resume="warm", seed=7))
    after = load_checkpoint(settings.out_ckpt)["model_state_dict"]
    assert torch.equal(after["head.weight"], before["head.weight"])
    assert not torch.equal(after[first], before[first])
    assert any("neighbours 0 -> 1" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ({"backbone": "principal_components"}, "is 1, but principal components are of single frames"),
        ({}, "is 1, but pretrained weights are of single pictures"),
        ({"neighbours": 9}, "neighbours"),
    ],
)
def test_what_does_not_go_together_is_refused(others, sentence):
    with pytest.raises(UserError, match=sentence):
        Training(**{"neighbours": 1, **others})

import os
import re
import subprocess
import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from rtmri_speech.errors import UserError
from rtmri_speech.signal.audio import WavSamples, copy_audio, read_audio, write_wav
from rtmri_speech.signal.mel import MelSpec

SHARED = Path(__file__).parents[2].parent / "shared"
RATE = 11413


def sound(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise of varying level, within [-0.5, 0.5] and below 2 kHz."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    hertz, phases = rng.uniform(100, 2000, (20, 1)), rng.uniform(0, 6, (20, 1))
    mixed = np.sin(2 * np.pi * hertz * times + phases).sum(axis=0) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * times))
    return 0.5 * mixed / np.abs(mixed).max()


def refusal(call, *arguments, **settings) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments, **settings)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert sentence.count("\n") == 0
    return sentence


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [
        ("wav", "PCM_U8", 2**-7),
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "PCM_32", 2**-24),
        ("wav", "FLOAT", 2**-24),
        ("wav", "DOUBLE", 2**-24),
        ("flac", "PCM_16", 2**-15),
        ("flac", "PCM_24", 2**-23),
        ("ogg", "VORBIS", 0.05),
    ],
)
def test_every_depth_is_read_on_the_same_scale(tmp_path, suffix, subtype, step):
    audio = sound(0.5, 16000)
    path = tmp_path / f"音声 1.{suffix}"
    soundfile.write(path, audio, 16000, subtype=subtype)
    read = read_audio(path, sampling_rate=16000)
    assert read.dtype == np.float32
    assert read.shape == audio.shape
    assert np.abs(read - audio).max() <= step


def test_channels_are_averaged(tmp_path):
    left, right = sound(0.3, 8000, 1), sound(0.3, 8000, 2)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, right], axis=1), 8000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "stereo.wav", sampling_rate=8000), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8000, 20000, 44100, 48000])
def test_resampling_in_blocks_equals_soxr_on_the_whole(tmp_path, rate):
    audio = sound(7, rate).astype(np.float32)  # longer than a block
    soundfile.write(tmp_path / "a.wav", audio, rate, subtype="FLOAT")
    ours = read_audio(tmp_path / "a.wav", sampling_rate=RATE)
    wanted = soxr.resample(audio, rate, RATE, quality="VHQ")
    assert len(ours) == len(wanted) == round(7 * RATE)
    np.testing.assert_allclose(ours, wanted, atol=1e-6)


def test_resampled_tone_keeps_time_and_level(tmp_path):
    seconds = np.arange(48000) / 48000
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * seconds), 48000, subtype="FLOAT")
    ours = read_audio(tmp_path / "tone.wav", sampling_rate=RATE)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert np.abs(ours - wanted)[200:-200].max() < 1e-4


def test_cut_is_exact_to_a_sample(tmp_path):
    audio = sound(2, 20000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", audio, 20000, subtype="FLOAT")
    cut = read_audio(tmp_path / "a.wav", sampling_rate=20000, start=0.12345, end=1.5)
    assert np.array_equal(cut, audio[2469:30000])
    early = read_audio(tmp_path / "a.wav", sampling_rate=20000, start=-0.1, end=0.2)
    assert np.array_equal(early, np.concatenate([np.zeros(2000, np.float32), audio[:4000]]))


def test_copy_has_the_requested_length_and_returns_the_original_one(tmp_path):
    audio = sound(1, RATE)
    soundfile.write(tmp_path / "a.wav", audio, RATE, subtype="FLOAT")
    for samples in (5000, RATE, 20000):
        there = copy_audio(tmp_path / "a.wav", tmp_path / "out.wav", sampling_rate=RATE, samples=samples, gain=0.5)
        written, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
        wanted = np.zeros(samples)
        wanted[:RATE] = np.rint(0.5 * audio[:samples].astype(np.float32) * 32767)
        assert (there, rate, len(written)) == (RATE, RATE, samples)
        assert np.array_equal(written, wanted)
    assert soundfile.info(tmp_path / "out.wav").subtype == "PCM_16"


def test_copy_resamples_and_cuts_as_read_audio_does(tmp_path):
    soundfile.write(tmp_path / "a.flac", sound(9, 44100), 44100)
    settings = {"sampling_rate": RATE, "start": 1.5, "end": 8.25}
    there = copy_audio(tmp_path / "a.flac", tmp_path / "out.wav", samples=77_000, **settings)
    read = read_audio(tmp_path / "a.flac", **settings)
    assert there == len(read)
    np.testing.assert_allclose(soundfile.read(tmp_path / "out.wav")[0], read[:77_000], atol=2**-15)


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(seconds: int) -> int:
        soundfile.write(tmp_path / "a.wav", np.tile(sound(1, 20000), seconds), 20000)
        tracemalloc.start()
        copy_audio(tmp_path / "a.wav", tmp_path / "out.wav", sampling_rate=RATE, samples=RATE * seconds)
        MelSpec.preset("hifigan", n_mels=4).mel(WavSamples(tmp_path / "out.wav"))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(5)
    assert peak(200) < 1.2 * peak(50)


def test_written_wav_is_rounded_and_clipped(tmp_path):
    write_wav(tmp_path / "deep/a.wav", np.array([0, 0.5, 1, -1, 1.5, -1.5, 1.6 / 32767]), RATE)
    with wave.open(str(tmp_path / "deep/a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        samples = np.frombuffer(file.readframes(99), "<i2")
    assert samples.tolist() == [0, 16384, 32767, -32767, 32767, -32768, 2]


def test_nonfinite_samples_are_not_written(tmp_path):
    assert "NaN" in refusal(write_wav, tmp_path / "a.wav", np.array([0, np.nan]), RATE)
    assert not list(tmp_path.iterdir())


def test_an_open_wav_is_sliced_like_an_array_with_the_same_mel(tmp_path):
    audio = sound(3, RATE)
    write_wav(tmp_path / "a.wav", audio, RATE)
    whole = soundfile.read(tmp_path / "a.wav", dtype="float32")[0]
    with WavSamples(tmp_path / "a.wav") as samples:
        assert (len(samples), samples.sampling_rate) == (len(whole), RATE)
        for part in (slice(None), slice(5, 9), slice(-7, None), slice(30000, 99999), slice(9, 5)):
            assert np.array_equal(samples[part], whole[part])
        spec = MelSpec.preset("hifigan")
        assert np.array_equal(spec.mel(samples), spec.mel(whole))


def write_track(path, audio, rate, *, codec, video_from=0.0, audio_from=0.0, video_rate=25):
    """A file of black pictures with a sound track, each beginning at its own time."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=video_rate)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        track = container.add_stream(codec, rate=rate, layout="mono")
        tick = Fraction(1, 90000)
        for number in range(int(len(audio) / rate * video_rate)):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), "yuv420p")
            frame.time_base, frame.pts = tick, round((video_from + number / video_rate) / tick)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for first in range(0, len(audio), 1024):
            piece = np.ascontiguousarray(audio[None, first : first + 1024], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(piece, "fltp", "mono")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(audio_from * rate) + first
            for converted in av.AudioResampler(format=track.format).resample(frame):
                container.mux(track.encode(converted))
        container.mux(track.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "video_from", "audio_from"),
    [
        ("aac.mp4", "aac", 0, 0),
        ("aac late.mp4", "aac", 0, 0.25),
        ("aac.mkv", "aac", 0, 0),
        ("pcm.avi", "pcm_s16le", 0, 0),
        ("pcm.mov", "pcm_s16le", 0, 0),
        ("pcm early.mkv", "pcm_s16le", 0.48, 0),
        ("flac.mkv", "flac", 0, 0.1),
    ],
)
def test_own_track_of_a_video_begins_with_its_first_frame(tmp_path, name, codec, video_from, audio_from):
    rate, click = 22050, 22050
    audio = np.zeros(2 * rate)
    audio[click : click + 5] = (0.2, 0.5, 0.9, 0.5, 0.2)
    write_track(tmp_path / name, audio, rate, codec=codec, video_from=video_from, audio_from=audio_from)
    read = read_audio(tmp_path / name, sampling_rate=rate)
    # Matroska, and the delay of a track in mp4, round times to a millisecond.
    tolerance = 1 if video_from == audio_from and "mkv" not in name else 0.0011 * rate
    assert abs(np.abs(read).argmax() - (click + 2 + (audio_from - video_from) * rate)) <= tolerance


def test_gap_in_a_track_is_kept_as_silence(tmp_path):
    audio = np.full(8000, 0.5)
    with av.open(str(tmp_path / "gap.mkv"), "w") as container:
        track = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for first, moment in ((0, 0), (4000, 12000)):
            piece = np.ascontiguousarray(audio[None, first : first + 4000] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(piece, "s16", "mono")
            frame.sample_rate, frame.time_base, frame.pts = 8000, Fraction(1, 8000), moment
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    read = read_audio(tmp_path / "gap.mkv", sampling_rate=8000)
    assert [round(float(read[k]), 2) for k in (0, 3999, 4000, 11999, 12000, 15999)] == [0.5, 0.5, 0, 0, 0.5, 0.5]
    assert len(read) == 16000


@pytest.mark.skipif(not (SHARED / "real_clips").exists(), reason="real recordings are not here")
def test_track_of_a_real_recording_agrees_with_the_wav_beside_it():
    settings = {"sampling_rate": 20000, "start": 2, "end": 12}
    own = read_audio(SHARED / "real_clips/videos/rainbow.mp4", **settings)
    beside = read_audio(SHARED / "real_clips/audio/rainbow.wav", **settings)
    spectra = np.fft.rfft(own, 2**19).conj() * np.fft.rfft(beside, 2**19)
    lag = np.fft.irfft(spectra).argmax()
    assert min(lag, 2**19 - lag) <= 20000 * 0.01


def with_length(wav: Path, target: Path, length: int, riff: int | None = None) -> Path:
    """Copy a wav with other lengths in its header."""
    content = bytearray(wav.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = length.to_bytes(4, "little")
    if riff is not None:
        content[4:8] = riff.to_bytes(4, "little")
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("length", "riff"),
    [(0, 0), (0, 36), (0, None), (0x7FFFF000, 0x7FFFF024), (0x80000000, 0x80000024), (0xFFFFFFFF, 0xFFFFFFFF)],
)
def test_wav_of_unknown_length_is_read_to_its_end(tmp_path, subtype, channels, length, riff):
    audio = np.repeat(sound(5, 8000)[:, None], channels, axis=1)
    soundfile.write(tmp_path / "whole.wav", audio, 8000, subtype=subtype)
    block = channels * {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    piped = with_length(tmp_path / "whole.wav", tmp_path / "piped.wav", length, riff)
    rounded = with_length(tmp_path / "whole.wav", tmp_path / "rounded.wav", length // block * block, riff)
    for cut in ({}, {"start": 1.25, "end": 3.5}):
        wanted = read_audio(tmp_path / "whole.wav", sampling_rate=8000, **cut)
        for path in (piped, rounded):
            np.testing.assert_allclose(read_audio(path, sampling_rate=8000, **cut), wanted, atol=1e-7)


def test_an_empty_wav_with_a_trailing_chunk_is_not_of_unknown_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content + b"LIST" + (200).to_bytes(4, "little") + bytes(200))
    assert "has no samples" in refusal(read_audio, tmp_path / "a.wav", sampling_rate=8000)


@pytest.mark.parametrize("rate", [8000, 22050])
def test_flac_of_unknown_length_is_read_to_its_end_or_refused_if_damaged(tmp_path, rate):
    soundfile.write(tmp_path / "whole.flac", sound(5, rate), rate)
    content = bytearray((tmp_path / "whole.flac").read_bytes())
    # STREAMINFO: the lower 36 bits of the 8 bytes that begin with the rate.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "piped.flac").write_bytes(content)
    assert soundfile.info(tmp_path / "piped.flac").frames > 2**60
    for cut in ({}, {"start": 1.25, "end": 3.5}):
        wanted = read_audio(tmp_path / "whole.flac", sampling_rate=rate, **cut)
        assert np.array_equal(read_audio(tmp_path / "piped.flac", sampling_rate=rate, **cut), wanted)
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    (tmp_path / "damaged.flac").write_bytes(content)
    for name in ("cut.flac", "damaged.flac"):
        assert re.search("damaged|cannot be decoded", refusal(read_audio, tmp_path / name, sampling_rate=rate))


def test_mp3_of_unknown_length_is_read_to_its_end(tmp_path):
    with av.open(str(tmp_path / "a.mp3"), "w", options={"write_xing": "0"}) as container:
        track = container.add_stream("libmp3lame", rate=22050, layout="mono")
        block = av.AudioFrame.from_ndarray(sound(8, 22050)[None].astype(np.float32), "fltp", "mono")
        block.sample_rate = 22050
        resampler = av.AudioResampler(track.format, "mono", 22050, track.codec_context.frame_size)
        for piece in [*resampler.resample(block), *resampler.resample(None), None]:
            container.mux(track.encode(piece))
    read = read_audio(tmp_path / "a.mp3", sampling_rate=22050)
    # The coder's delay is not said either.
    assert 0 <= len(read) - 8 * 22050 <= 3 * 1152
    assert np.abs(read[-2 * 1152 - 4000 : -2 * 1152]).max() > 0.05


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Unusable sound files, each with words of the expected error message."""
    files = {}

    def add(name, words, content=None):
        files[name] = folder / name, words
        if content is not None:
            files[name][0].write_bytes(content)

    good = sound(1, 8000)
    add("text.wav", "holds no audio that can be read", b"these are words\n" * 400)
    add("empty.wav", r"is empty \(0 bytes\)", b"")
    add("missing.wav", "there is no such file")
    add("directory.wav", "is a directory")
    (folder / "directory.wav").mkdir()
    soundfile.write(folder / "whole.wav", good, 8000)
    content = (folder / "whole.wav").read_bytes()
    add("cut.wav", "is cut off: it declares 16000 bytes of sound and holds 7978", content[: len(content) // 2])
    soundfile.write(folder / "whole.flac", good, 8000)
    content = (folder / "whole.flac").read_bytes()
    add("cut.flac", "cut off: it declares 1.000 s", content[: len(content) // 2])
    write_track(folder / "whole.mp4", good, 8000, codec="aac")
    content = (folder / "whole.mp4").read_bytes()
    add("cut.mp4", "is an mp4 without its index: it was cut off", content[: len(content) // 2])
    write_track(folder / "whole.mkv", good, 8000, codec="pcm_s16le")
    content = (folder / "whole.mkv").read_bytes()
    add("cut.mkv", "cut off", content[: len(content) // 2])
    soundfile.write(folder / "none.wav", np.zeros(0), 8000)
    add("none.wav", "has no samples")
    with_nan = good.copy()
    with_nan[7000] = np.nan
    soundfile.write(folder / "nan.wav", with_nan, 8000, subtype="FLOAT")
    add("nan.wav", "NaN or infinite")
    with_nan[7000] = np.inf
    soundfile.write(folder / "infinite.wav", with_nan, 8000, subtype="FLOAT")
    add("infinite.wav", "NaN or infinite")
    with av.open(str(folder / "mute.mp4"), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), "yuv420p")))
        container.mux(video.encode(None))
    add("mute.mp4", "has no audio track")
    return files


def test_invalid_sound_files_are_refused_without_output(tmp_path):
    (tmp_path / "bad").mkdir()
    for path, words in bad_files(tmp_path / "bad").values():
        with pytest.raises(UserError, match=words):
            read_audio(path, sampling_rate=RATE)
        sentence = refusal(copy_audio, path, tmp_path / "out/out.wav", sampling_rate=RATE, samples=4200)
        assert sentence.startswith(str(path))
        assert not list((tmp_path / "out").glob("*"))


def test_silence_is_refused_for_a_dataset_but_faint_sound_is_not(tmp_path):
    for peak, silent in ((0.0, True), (1e-5, True), (1e-4, False)):
        soundfile.write(tmp_path / "a.wav", peak * 2 * sound(1, 8000), 8000, subtype="FLOAT")
        settings = {"sampling_rate": 8000, "samples": 8000, "gain": 100.0}
        if silent:
            assert "is silent" in refusal(copy_audio, tmp_path / "a.wav", tmp_path / "out.wav", **settings)
            assert not (tmp_path / "out.wav").exists()
        else:
            copy_audio(tmp_path / "a.wav", tmp_path / "out.wav", **settings)
        assert len(read_audio(tmp_path / "a.wav", sampling_rate=8000)) == 8000


def test_gain_that_overdrives_is_refused_with_the_largest_that_fits(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(1, 8000), 8000, subtype="FLOAT")
    sentence = refusal(copy_audio, tmp_path / "a.wav", tmp_path / "out.wav", sampling_rate=8000, samples=8000, gain=4)
    assert "reaches 2 times full scale" in sentence
    assert "at most 2" in sentence


def test_cut_outside_the_sound_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(1, 8000), 8000)
    assert "in the requested interval" in refusal(read_audio, tmp_path / "a.wav", sampling_rate=8000, start=3, end=4)
    assert "in the requested interval" in refusal(read_audio, tmp_path / "a.wav", sampling_rate=8000, start=-2, end=-1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a small disk needs root to be mounted")
def test_full_disk_leaves_no_partial_wav(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        soundfile.write(tmp_path / "a.wav", sound(3, 8000), 8000)
        with pytest.raises(OSError, match="No space left"):
            write_wav(disk / "b.wav", sound(3, 8000), 8000)
        with pytest.raises(OSError, match="No space left") as caught:
            copy_audio(tmp_path / "a.wav", disk / "b.wav", sampling_rate=8000, samples=24000)
        assert caught.value.filename == str(disk / "b.wav")
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)

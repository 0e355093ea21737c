"""(c) Speed of both trainings, synthesis and Grad-CAM, compared with the lab's method, and their bottlenecks."""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from bench_vocoder import official_forward, official_step

from gpu.comparison import BANDS
from gpu.subjects import CLIP_FRAMES, UTTERANCES, Trial, precision
from rtmri_speech.acoustic.predict import predict_db
from rtmri_speech.acoustic.train import AcousticTask
from rtmri_speech.explain.gradcam import grad_cam
from rtmri_speech.settings.acoustic import PRINCIPAL_COMPONENTS
from rtmri_speech.signal.video import normalise_frames
from rtmri_speech.threads import available_threads
from rtmri_speech.training.loading import batches as loaded
from rtmri_speech.training.loading import load
from rtmri_speech.vocoder.data import Excerpts
from rtmri_speech.vocoder.generator import Generator

WINDOWS = UTTERANCES * (CLIP_FRAMES - 3)
LARGEST_BATCH = 512


def speed(trial: Trial, seconds: float) -> None:
    """Measure in order of importance, for at most ``seconds``."""
    until = time.monotonic() + seconds
    for measure in (acoustic, vocoder, synthesis, packs, explanation, acoustic_batches, vocoder_batches):
        if time.monotonic() > until:
            trial.report.note(f"Not measured, out of time: {measure.__name__.replace('_', ' ')}.")
            continue
        try:
            measure(trial, until)
        except torch.OutOfMemoryError:
            trial.report.note(f"{measure.__name__.replace('_', ' ')}: out of memory.")
        free(trial)


def free(trial: Trial) -> None:
    if trial.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def gigabytes(trial: Trial) -> str | float:
    return torch.cuda.max_memory_allocated() / 1e9 if trial.device == "cuda" else "-"


def rate(trial: Trial, step: Callable[[], object], longest: float = 6.0) -> float:
    """Mean seconds per call over about ``longest`` seconds, after a warm-up."""
    for _ in range(1 if trial.tiny else 3):
        step()
    trial.wait()
    begin, count = time.perf_counter(), 0
    while count < 2 or (count < 50 and not trial.tiny and time.perf_counter() - begin < longest):
        step()
        count += 1
    trial.wait()
    return (time.perf_counter() - begin) / count


def batches(training: AcousticTask, workers: int) -> Iterator[list]:
    keys = training.plan.between(0, 10**6)
    pinned = training.group.device.type == "cuda"
    return loaded(load(training.segments.micro_batches, keys, workers=workers, prefetch=4, pin_memory=pinned))


def acoustic(trial: Trial, until: float) -> None:
    """Compare the lab's method with ours, then ours with data loaders, and find the bottleneck."""
    stretch, count = (4, 2) if trial.tiny else (16, 8)
    ours = {"batch_size": count, "micro_batch_size": count, "stretch": stretch}
    lab = {"batch_size": count * stretch, "micro_batch_size": count * stretch, "stretch": 1, "channels_last": False}
    rows = (
        ("segments, channels_last", "bfloat16", ours),
        ("lab: a CNN pass a window", "float32", lab),
        ("segments, channels_last", "float32", ours),
        ("segments, channels_last", "TF32", ours),
        ("segments, channels_last", "float16", ours),
        ("segments", "bfloat16", ours | {"channels_last": False}),
        ("segments, with F0 (pitch)", "bfloat16", ours | {"pitch": True}),
        ("principal components", "float32", ours | {"backbone": PRINCIPAL_COMPONENTS}),
    )
    epoch = f"epoch of {UTTERANCES}, min"
    trial.report.table(
        f"Mel generator's training, {count * stretch} windows per step, batch already on the device",
        *("method", "precision", "steps/s", "windows/s", epoch, "GB"),
    )
    for how, name, changed in rows:
        if name == "TF32" and trial.device == "cpu":
            continue
        free(trial)
        with precision(name) as reduced:
            training = trial.training(amp=reduced, **changed)
            batch = training.segments.micro_batches(training.plan.keys(0))
            batch = [training.on_device(part) for part in batch]
            took = rate(trial, lambda t=training, b=batch: t.step(b))
        windows = sum(len(part.starts) for part in batch) / took
        trial.report.row(how, name, 1 / took, windows, WINDOWS / windows / 60, gigabytes(trial))
    training = trial.training(amp="bfloat16", **ours)
    batch = training.segments.micro_batches(training.plan.keys(0))
    here = [training.on_device(part) for part in batch]
    alone = rate(trial, lambda: training.step(here))
    copying = rate(trial, lambda: [training.on_device(part) for part in batch], 1.0)
    trial.report.table(
        "The same in bfloat16 with data loader", "loader processes", "steps/s", "loader alone, batches/s"
    )
    for workers in (0, 1) if trial.tiny else (0, 4, 8):
        feed = batches(training, workers)
        loading = rate(trial, lambda f=feed: next(f), 3.0)
        fed = rate(trial, lambda f=feed: training.step(next(f)))
        trial.report.row(str(workers), 1 / fed, 1 / loading)
        del feed
    bound(trial, "Mel generator", lambda: training.step(here), loading, copying, alone)


def bound(trial: Trial, what: str, step: Callable[[], object], loading: float, copying: float, alone: float) -> None:
    """Report the bottleneck of a step, from the seconds of its parts and a short profile."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if trial.device == "cuda" else [])
    steps = 1 if trial.tiny else 3
    with profile(activities=kinds) as profiled:
        for _ in range(steps):
            step()
        trial.wait()
    events, cuda = profiled.key_averages(), trial.device == "cuda"
    cost = (lambda event: event.self_device_time_total) if cuda else (lambda event: event.self_cpu_time_total)
    # On CUDA, select kernels, which have no CPU time: operators repeat the time of their kernels.
    counted = [event for event in events if not cuda or event.self_cpu_time_total == 0]
    busy = sum(map(cost, counted)) / 1e6 / steps
    largest = ", ".join(
        f"{event.key[:60]} {cost(event) / 1e4 / steps / max(busy, 1e-9):.0f} %"
        for event in sorted(counted, key=cost, reverse=True)[:4]
    )
    parts = {"the loader": loading, "the copy": copying, "kernels": busy, "launching kernels": alone - busy}
    most = max(parts, key=parts.__getitem__)
    numbers = ", ".join(f"{name} {1000 * value:.2f} ms" for name, value in parts.items())
    trial.report.note(f"{what}'s training is limited by {most} ({numbers} per step). Most time: {largest}.")


def acoustic_batches(trial: Trial, until: float) -> None:
    """Try larger batches, as far as memory allows."""
    trial.report.table("Mel generator, bfloat16, larger batches", "segments per micro-batch", "windows/s", "GB")
    count = 2 if trial.tiny else 16
    while count <= (4 if trial.tiny else LARGEST_BATCH) and time.monotonic() < until:
        free(trial)
        try:
            training = trial.training(amp="bfloat16", batch_size=count, micro_batch_size=count)
            here = [training.on_device(p) for p in training.segments.micro_batches(training.plan.keys(0))]
            took = rate(trial, lambda t=training, b=here: t.step(b), 3.0)
        except torch.OutOfMemoryError:
            trial.report.row(str(count), "out of memory", "-")
            return
        trial.report.row(str(count), sum(len(part.starts) for part in here) / took, gigabytes(trial))
        count *= 2


def vocoder(trial: Trial, until: float) -> None:
    config = trial.vocoder_config
    excerpts = Excerpts(trial.clips(), config)
    batch = excerpts[0]
    mel, audio = (batch[name].to(trial.device) for name in ("mel", "audio"))
    trial.report.table(
        f"HiFi-GAN's training, batch {config.batch_size}, batch already on the device",
        *("method", "precision", "steps/s", f"epoch of {UTTERANCES}, min", "GB"),
    )
    rows = (("ours", "bfloat16"), ("lab: the official step", "float32"), ("ours", "float32"), ("ours", "TF32"))
    for how, name in rows:
        if name == "TF32" and trial.device == "cpu":
            continue
        free(trial)
        with precision(name):
            networks = trial.networks(bf16=name == "bfloat16")
            if how == "ours":
                took = rate(trial, lambda n=networks: n.step(mel, audio, adversarial=True))
            else:
                took = rate(trial, lambda n=networks: official_step(n, mel, audio))
        trial.report.row(how, name, 1 / took, UTTERANCES / config.batch_size * took / 60, gigabytes(trial))
    networks = trial.networks(bf16=True)

    def step() -> None:
        networks.step(mel, audio, adversarial=True)

    alone, number = rate(trial, step), iter(range(10**6))
    copying = rate(trial, lambda: [batch[name].to(trial.device) for name in ("mel", "audio")], 1.0)
    loading = rate(trial, lambda: excerpts[next(number)], 3.0)

    def fed_step() -> None:
        drawn = excerpts[next(number)]
        networks.step(drawn["mel"].to(trial.device), drawn["audio"].to(trial.device), adversarial=True)

    trial.report.note(f"HiFi-GAN in bfloat16 with the data loader: {1 / rate(trial, fed_step):.3g} steps/s.")
    bound(trial, "HiFi-GAN", step, loading, copying, alone)


def vocoder_batches(trial: Trial, until: float) -> None:
    """Try larger batches, as far as memory allows."""
    config = trial.vocoder_config
    trial.report.table("HiFi-GAN, bfloat16, larger batches", "batch", "excerpts/s", "GB")
    count = 2 * config.batch_size
    while count <= (4 if trial.tiny else LARGEST_BATCH) and time.monotonic() < until:
        free(trial)
        mel = torch.randn(count, config.num_mels, config.segment_frames, device=trial.device) - 4
        audio = torch.randn(count, config.segment_size, device=trial.device) * 0.1
        try:
            networks = trial.networks(bf16=True)
            took = rate(trial, lambda n=networks, m=mel, a=audio: n.step(m, a, adversarial=True), 3.0)
        except torch.OutOfMemoryError:
            trial.report.row(str(count), "out of memory", "-")
            return
        trial.report.row(str(count), count / took, gigabytes(trial))
        count *= 2


def synthesis(trial: Trial, until: float) -> None:
    frames, log_mel = trial.frames(), trial.log_mel()
    seconds = len(frames) * 420 / 11413
    trial.report.table(f"Synthesis of a clip of {seconds:.1f} s", "part", "precision", "seconds", "times real time")
    bundle, weights = trial.bundle(), Generator(trial.vocoder_config).to(trial.device)
    picture = torch.from_numpy(normalise_frames(frames, "unit"))[:, None].to(trial.device)
    mel = torch.from_numpy(log_mel)[None].to(trial.device)
    first = torch.zeros(1, dtype=torch.long, device=trial.device)

    @torch.inference_mode()
    def window_by_window() -> None:
        for begin in range(len(frames) - 3):
            bundle.model(picture[begin : begin + 4], first, 4).cpu()

    @torch.inference_mode()
    def official() -> None:
        official_forward(weights, mel).cpu()

    rows: list[tuple[str, str, Callable[[], object]]] = [
        ("mel, lab: a CNN pass a window", "float32", window_by_window),
        ("mel", "float32", lambda: predict_db(bundle, frames)),
        ("mel", "bfloat16", lambda: predict_db(dataclasses.replace(bundle, precision="bfloat16"), frames)),
        ("wave, lab: the official module", "float32", official),
    ]
    exact, half = trial.vocoder(), trial.vocoder(bf16=True)
    rows.append(("wave", "float32", lambda: exact.synthesise(log_mel)))
    rows.append(("wave", "bfloat16", lambda: half.synthesise(log_mel)))
    for what, name, make in rows:
        with precision("float32"):
            took = rate(trial, make, 3.0)
        trial.report.row(what, name, took, seconds / took)


def packs(trial: Trial, until: float) -> None:
    """Time what runs on the CPU beside a GPU: a pack's CNN by ONNX Runtime, and WORLD."""
    frames, bundle = trial.frames(), trial.bundle()
    seconds = len(frames) * 420 / 11413
    trial.report.table(f"A clip of {seconds:.1f} s on the CPU", "part", "seconds", "times real time")
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        trial.report.row(f"a pack's CNN: {', '.join(missing)} is not installed", "-", "-")
    else:
        from rtmri_speech.graphs.run import Graph
        from rtmri_speech.pack.export import acoustic_graphs

        bundle.model.cpu()
        cnn = Graph(acoustic_graphs(bundle)[0], "cnn.onnx", available_threads())
        shape = 1, bundle.model.cnn.channels
        took = rate(trial, lambda: [cnn(frame[None], shape) for frame in frames], 3.0)
        trial.report.row("a pack's CNN, by ONNX Runtime", took, seconds / took)
    if importlib.util.find_spec("pyworld") is None:
        trial.report.row("WORLD: pyworld is not installed", "-", "-")
        return
    from rtmri_speech.vocoder.untrained import UNTRAINED

    world, log_mel = UNTRAINED["world"](bundle.mel), trial.log_mel()
    took = rate(trial, lambda: world.synthesise(log_mel, np.full(len(frames), 120.0)), 3.0)
    trial.report.row("WORLD", took, seconds / took)


def explanation(trial: Trial, until: float) -> None:
    frames, bundle = trial.frames(), trial.bundle()
    trial.report.table(f"Grad-CAM of {len(frames)} frames, two bands and a target frame", "method", "seconds", "GB")
    model = bundle.model
    picture = torch.from_numpy(normalise_frames(frames, "unit"))[:, None].to(trial.device)
    bins = [torch.from_numpy(bundle.mel.band(band.low, band.high)).to(trial.device) for band in BANDS]

    def lab() -> None:
        """The lab's method: a forward pass that keeps all activations, and a full backward pass per target."""
        targets = [(part, slice(None)) for part in bins] + [(part, 3) for part in bins]
        with torch.backends.cudnn.flags(enabled=False):
            for part, where in targets:
                maps = model.feature_maps(picture)
                maps.retain_grad()
                db = model.decode(maps.mean((2, 3))[None])[0]
                (10 ** (db[where] / 10))[..., part].sum().backward()
                model.zero_grad(set_to_none=True)
                torch.einsum("tc,tchw->thw", maps.grad.mean((2, 3)), maps.detach()).relu().cpu()

    rows = (
        ("ours", lambda: grad_cam(bundle, frames, BANDS, [3])),
        ("ours, stride 16", lambda: grad_cam(bundle, frames, BANDS, [3], stride=16)),
        ("lab: a whole backward pass a target", lab),
    )
    for how, make in rows:
        free(trial)
        with precision("float32"):
            trial.report.row(how, rate(trial, make, 3.0), gigabytes(trial))

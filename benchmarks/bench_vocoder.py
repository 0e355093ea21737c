"""Speed of the vocoder compared with the official implementation, in paired measurements.

synthesis: the weight-normed float32 module against folded weights in float32 and bfloat16, the error of bfloat16,
and the delay until the first sample of a stream. train: a training step against the official one, in which the
generator's step also computes the discriminators' gradients and discards them.

The two sides of a pair alternate, so that load on the machine affects both; the median of the ratios is reported.
"""

import argparse
import time
from pathlib import Path

import numpy as np

CONFIGS = Path(__file__).parents[1] / "config"


def paired(first, second, rounds, clock):
    """Time both alternately; return their median seconds, and median and range of the ratios."""
    for run in (first, second):
        run()
    seconds = []
    for _ in range(rounds):
        row = []
        for run in (first, second):
            begin = clock()
            run()
            row.append(clock() - begin)
        seconds.append(row)
    a, b = np.array(seconds).T
    return np.median(a), np.median(b), np.median(a / b), (a / b).min(), (a / b).max()


def report(name, against, result):
    a, b, ratio, low, high = result
    print(f"{name:34s} {a:8.3f} s   {against:20s} {b:8.3f} s   {ratio:5.2f} x  ({low:.2f} to {high:.2f})", flush=True)


def official_forward(generator, mel):
    """The official forward pass, on the same weight-normed modules."""
    from torch.nn.functional import leaky_relu

    def block(layer, x):
        if layer.pairs:
            for first, second in zip(layer.convs1, layer.convs2, strict=True):
                x = second(leaky_relu(first(leaky_relu(x, 0.1)), 0.1)) + x
        else:
            for conv in layer.convs:
                x = conv(leaky_relu(x, 0.1)) + x
        return x

    x = generator.conv_pre(mel)
    count = generator.blocks_per_stage
    for stage, up in enumerate(generator.ups):
        x = up(leaky_relu(x, 0.1))
        x = sum(block(layer, x) for layer in generator.resblocks[stage * count : (stage + 1) * count]) / count
    return generator.conv_post(leaky_relu(x)).tanh()


def bench_synthesis(args, clock):
    import torch

    from rtmri_speech.vocoder.config import read_config
    from rtmri_speech.vocoder.engine import Vocoder, load_vocoder
    from rtmri_speech.vocoder.generator import Generator

    config = read_config(args.config)
    torch.manual_seed(0)
    generator = Generator(config)
    mel = np.random.default_rng(0).normal(-4, 1, (config.num_mels, args.frames)).astype(np.float32)

    def plain():
        with torch.no_grad():
            return official_forward(generator, torch.from_numpy(mel)[None])

    for name, bf16 in (("folded float32", False), ("bfloat16", True)):
        vocoder = Vocoder(generator, config, bf16=bf16)
        report("official module", name, paired(plain, lambda v=vocoder: v.synthesise(mel), args.rounds, clock))

    for frames in (4, 16, 64):
        live = Vocoder(generator, config, bf16=True, block_frames=frames)
        live.synthesise(mel[:, :frames])
        waited = frames + -(-live.delay // config.hop_size)
        begin = time.perf_counter()
        next(live.stream(mel[:, n : n + 1] for n in range(args.frames)))
        computing = time.perf_counter() - begin
        delay = waited * config.hop_size / config.sampling_rate
        print(
            f"first samples, blocks of {frames:2d} frames: {waited} frames of mel ({delay:.2f} s)"
            f" and {computing:.3f} s of computing"
        )

    if args.checkpoint_file:
        exact, half = (load_vocoder(args.checkpoint_file, bf16=bf16) for bf16 in (False, True))
        for path in sorted(args.input_mels_dir.glob("*.npy")):
            a, b = (v.synthesise(np.load(path)).astype(np.float64) for v in (exact, half))
            print(f"bfloat16 on {path.stem}: SNR {10 * np.log10(np.sum(a**2) / np.sum((a - b) ** 2)):.1f} dB")


def official_step(networks, mel, audio):
    """The official training step, which computes gradients of the discriminators in the generator's step too."""
    from rtmri_speech.vocoder.loss import adversarial_loss, discriminator_loss, feature_loss, mel_error

    config, real, discriminators = networks.config, audio[:, None], (networks.mpd, networks.msd)
    made = official_forward(networks.generator, mel)
    networks.optim_d.zero_grad()
    sum(discriminator_loss(d(real), d(made.detach())) for d in discriminators).backward()
    networks.optim_d.step()
    networks.optim_g.zero_grad()
    loss = config.mel_weight * mel_error(config.loss_mel, audio, made[:, 0])
    for d in discriminators:
        of_real, of_made = d(real), d(made)
        loss = loss + adversarial_loss(of_made) + feature_loss(of_real, of_made)
    loss.backward()
    networks.optim_g.step()


def bench_training(args, clock):
    import itertools

    import torch

    from rtmri_speech.training.distributed import Processes
    from rtmri_speech.vocoder.config import read_config
    from rtmri_speech.vocoder.train import Networks

    config = read_config(args.config)
    torch.manual_seed(0)
    ours = Networks(config, Processes(0, 1, torch.device("cpu")), bf16=False)
    theirs = Networks(config, Processes(0, 1, torch.device("cpu")), bf16=False)
    frames = config.segment_frames
    mel = torch.randn(args.batch, config.num_mels, frames) - 4
    audio = torch.randn(args.batch, frames * config.hop_size) * 0.1

    def official():
        official_step(theirs, mel, audio)
        assert all(p.grad is not None for p in itertools.chain(theirs.mpd.parameters(), theirs.msd.parameters()))

    report(
        f"official step, batch {args.batch}",
        "ours",
        paired(official, lambda: ours.step(mel, audio, adversarial=True), args.rounds, clock),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["synthesis", "train"])
    parser.add_argument("--config", type=Path, default=CONFIGS / "hifigan_v1_11413.json")
    parser.add_argument("--frames", type=int, default=100, help="mel frames to synthesise")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint_file", type=Path, help="trained generator for measuring the error of bfloat16")
    parser.add_argument("--input_mels_dir", type=Path, help="directory of log mels for it")
    parser.add_argument(
        "--cpu_time", action="store_true", help="measure CPU time instead of wall time, for a busy machine"
    )
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    clock = time.process_time if args.cpu_time else time.perf_counter
    kind = "CPU" if args.cpu_time else "wall"
    print(f"torch {torch.__version__}, {args.threads} threads, {kind} time, {args.config.name}")
    (bench_synthesis if args.what == "synthesis" else bench_training)(args, clock)


if __name__ == "__main__":
    main()

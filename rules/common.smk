# What every stage uses: the checked configuration, the clips and their splits, paths, and the code each stage depends on.

import errno
import glob
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

BASE = Path(workflow.basedir)

# The scripts run the code of this checkout, installed or not, with the Python that runs Snakemake (or, in a conda environment of
# its own, with the one found there first), on this machine and on a cluster's.
sys.path.insert(0, str(BASE / "src"))
for name, first in {
    "PYTHONPATH": BASE / "src",
    "PATH": Path(sys.executable).parent,
}.items():
    os.environ[name] = os.pathsep.join([str(first), *filter(None, [os.environ.get(name)])])
# Logs are read again, and on Windows a job would write its own in the code page of the system.
os.environ |= {"PYTHONIOENCODING": "utf-8"}

from rtmri_speech import command_line
from rtmri_speech.atomic import remove_abandoned
from rtmri_speech.configuration import load_configuration, mel_spec, takeover_notes, takes_over
from rtmri_speech.dataset.clip import clips_from_directories, clips_from_table, ids_pattern
from rtmri_speech.dataset.corpus import corpus_clips, normalised_clips, recording_names
from rtmri_speech.dataset.filelists import moved_clips
from rtmri_speech.dataset.lab_format import StoredClip
from rtmri_speech.dataset.split import SPLITS, SMALL, split_clips
from rtmri_speech.errors import JOB, UserError, user_error
from rtmri_speech.paths import of_checkout
from rtmri_speech.preflight import check_named
from rtmri_speech.provenance import contents_hash
from rtmri_speech.code_version import code_hash
from rtmri_speech.settings.fields import plain
from rtmri_speech.settings.flags import command_line_of
from snakemake.exceptions import WorkflowError

os.environ[JOB] = "1"

# No shell stays between Snakemake and a job: a signal to the shell alone would leave the job running. So each
# `shell:` is one simple command; Snakemake's `set -euo pipefail`, whose place this takes, would change nothing in it.
if os.name == "posix":
    shell.prefix("exec ")


def text(path):
    """A path of the settings as Snakemake takes it; None for none."""
    return path and path.as_posix()


try:
    SETTINGS = load_configuration(config)
    RESULTS = text(SETTINGS.results)
    DATASET = text(SETTINGS.dataset) or f"{RESULTS}/dataset"
    RAW_CLIPS = corpus_clips(SETTINGS.corpus, Path(RESULTS), SETTINGS.lab)
    SPLIT_CLIPS = split_clips(RAW_CLIPS, **plain(SETTINGS.split))
    # Announced once, by the main process.
    MOVED_CLIPS = moved_clips(Path(DATASET, "hifigan_filelists"), SPLIT_CLIPS) if workflow.is_main_process else []
    CLIPS = (
        RAW_CLIPS
        if SETTINGS.corpus.raw_videos is None
        else normalised_clips(RAW_CLIPS, Path(RESULTS, "normalized_videos"))
    )
except UserError as error:
    raise WorkflowError(str(error)) from None

# Once, and not by each job.
if workflow.is_main_process:
    for note in takeover_notes(SETTINGS):
        print(note, file=sys.stderr)
    if MOVED_CLIPS:
        few = ", ".join([*MOVED_CLIPS[:5], *(["..."] if MOVED_CLIPS[5:] else [])])
        print(
            f"The split moves {len(MOVED_CLIPS)} clips to another split ({few}): what is"
            " trained on them is made anew. By the hash alone no clip moves, but only from"
            f" {SMALL} clips on; split.named keeps clips where they are.",
            file=sys.stderr,
        )
    if not SPLIT_CLIPS["test"]:
        print("The split has no test clip: there is nothing to score, and no page is made.", file=sys.stderr)

# The scaler of a lab whose data are taken over.
LAB_DIR = text(SETTINGS.lab.processed) if takes_over(SETTINGS) else None
TRAINED_SPLITS = ("training", "validation")
TEST_CLIPS = SPLIT_CLIPS["test"]
SEEN_CLIPS = [id for split in TRAINED_SPLITS for id in SPLIT_CLIPS[split]]

# A rule's log and benchmark go under these, so that cleaning results cleans them too.
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"

# Where the jobs of single clips run: as all others, or in Snakemake's own process on the machine that it runs on.
CLIPS_LOCAL = SETTINGS.cluster.clips == "local"


def provenance_of(stage):
    """The JSON that says where a stage's results come from, also shown by Snakemake's own report."""
    return report(
        f"{RESULTS}/provenance/{stage}.json",
        caption="../workflow/report/provenance.rst",
        category="Provenance",
        labels={"stage": stage},
    )


wildcard_constraints:
    # Just the corpus' clips: for any other id there is no rule.
    id=ids_pattern(CLIPS),
    split="|".join(SPLITS),


def paths(pattern, ids):
    """``pattern`` with every id in place of ``{id}``."""
    return [pattern.replace("{id}", id) for id in ids]


def script(name):
    """A script of the workflow, relative to where Snakemake runs if it can be, so that a checkout can be moved."""
    path = BASE / "workflow" / "scripts" / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def flags(**settings):
    """Command-line flags of a script, quoted for the shell.

    One string, because Snakemake looks for wildcards in every element of a list of every job.
    """
    return command_line.flags(settings)


# A rule asks for half as much memory again as its jobs were seen to take (benchmarks/check_resources.py), with 140 MB for Snakemake,
# which on a cluster runs inside the job.
def more_on_retry(amount):
    """A resource that doubles with each attempt."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def minutes_for(clips, seconds):
    """The runtime of a job that takes ``seconds`` for each of ``clips``, and ten minutes to wait for a disk and to start."""
    return 10 + len(clips) * seconds // 60


def existing(path):
    """``path`` as an input when it is there or can be made; else none: the job itself says what is missing, and the others go on."""
    return [str(path)] if path.is_file() or path.is_relative_to(RESULTS) else []


def sources_of(clip):
    """The files that a clip is made from, those that are there or can be made."""
    stored = StoredClip(clip.stored) if clip.stored else None
    frames = stored.frame_files if stored else [clip.video]
    sound = [*(stored.mel_files if stored else []), clip.audio or clip.video]
    return list(dict.fromkeys(source for path in [*frames, *sound] for source in existing(path)))


def clip_flags(clip):
    """Flags that name one clip, its video and sound, and the stretch to take of them."""
    return flags(
        clip=clip.id,
        video=clip.video,
        audio=clip.audio or clip.video,
        start=clip.start,
        end=clip.end,
        av_offset_ms=clip.av_offset_ms or None,
        stored=clip.stored,
    )


def new_clips(source):
    """The clips of a TSV, or of a directory of videos with or without sound files beside them."""
    if source is None:
        return {}
    source = Path(source)
    return clips_from_table(source) if source.is_file() else clips_from_directories(source, source, own_track=True)


def asks_for_new_speech():
    """Whether the command line names `infer_new`, or files of it: Snakemake does not say which its targets are."""
    return any(word == "infer_new" or word.startswith(f"{INFER_NEW}/") for word in sys.argv[1:])


def models_digest():
    """What speaks: the context, and each file with its hash."""
    files = {name: {"file": file, "sha256": contents_hash(file)} for name, file in SPEAKING_FILES.items()}
    return {"context": ACOUSTIC.context, **files}


def models_are_made():
    """Whether the models of this configuration were made, and digested, as they are now."""
    files = [Path(file) for file in (MODELS_DIGEST, *SPEAKING_FILES.values())]
    return all(file.is_file() for file in files) and json.loads(files[0].read_text(encoding="utf-8")) == models_digest()


def require_new_videos():
    """Refuse `infer_new` where there are none."""
    if not NEW_CLIPS:
        raise WorkflowError(
            "infer_new: synthesis.new_videos names no video; give a directory or a table,"
            " such as --config 'synthesis={new_videos: my_videos}'."
        )


def new_speech():
    """The files of `infer_new`."""
    require_new_videos()
    return [rules.infer_new_video.output.generated.replace("{new_id}", id) for id in NEW_CLIPS]


def new_clip_flags(clip):
    """Flags that name a new video, its sound and the stretch to take of it."""
    return flags(
        **{
            "id": clip.id,
            "video": clip.video,
            "audio": clip.audio,
            "start": clip.start,
            "end": clip.end,
            "av-offset-ms": clip.av_offset_ms or None,
        }
    )


def mask_flags(mask):
    """Flags of what a mask darkens, and how."""
    return flags(
        **{
            "mask-type": mask.type,
            "polygons": mask.polygons,
            "alpha": mask.alpha,
            "blur-kernel": mask.blur_kernel,
        }
    )


# The rules that make files of one prepared clip.
OF_A_CLIP = "export_groundtruth_mel infer_clip mask_video infer_masked compare_masked explain_clip film_gradcam".split()

# Seconds by which the clocks of machines that share a disk may differ.
CLOCKS_DIFFER = 60


def refuse_future_files():
    """End a run that would read files of a later date than now: Snakemake takes what is made of them for stale."""
    jobs = list(workflow.dag.needrun_jobs())
    made = {str(file) for job in jobs for file in job.output}
    read = {str(file) for job in jobs for file in job.input} - made
    late = sorted(
        file for file in read if os.path.exists(file) and os.path.getmtime(file) > time.time() + CLOCKS_DIFFER
    )
    if late:
        others = f" (and {len(late) - 1} more)" if late[1:] else ""
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(os.path.getmtime(late[0])))
        raise WorkflowError(
            f"{late[0]}{others}: is dated in the future ({date}); correct the clock of this machine,"
            " or give the file the date of today (touch)."
        )


# Free space below which a log may be empty.
LOG_BYTES = 100_000


def report_full_disk():
    """Report a full disk after a failure: the failed job's log may have had no room for the message."""
    for directory in dict.fromkeys([RESULTS, DATASET]):
        if Path(directory).exists() and shutil.disk_usage(directory).free < LOG_BYTES:
            print(user_error(OSError(errno.ENOSPC, "", directory)), file=sys.stderr)
            return


def report_refused_clips():
    """List the clips that were refused, each with its sentence, after a failure, and remove what was made of them before."""
    refused = {id: sentence for id in CLIPS if (sentence := refusal(id))}
    if not refused:
        return
    for name in OF_A_CLIP:
        for pattern in getattr(rules, name).output:
            for id in refused:
                for made in glob.glob(re.sub(r"{\w+}", "*", glob.escape(pattern).replace("{id}", id))):
                    Path(made).unlink()
    print(f"Clips that were refused: {len(refused)} of {len(CLIPS)}.", file=sys.stderr)
    # One sentence refuses all clips of a recording.
    print(*dict.fromkeys(refused.values()), sep="\n", file=sys.stderr)
    print(f"Mend them, or leave them out: corpus: {{exclude: {json.dumps(list(refused))}}}", file=sys.stderr)


def refusal(id):
    """The sentence with which the jobs of a clip refused it; None where its sample is there or it was not tried."""
    if Path(DATASET, "samples", id, "mel_db.npy").exists():
        return None
    for log in (
        Path(LOGS, "normalize_video", f"{CLIPS[id].video.stem}.log"),
        Path(LOGS, "prepare_clip", f"{id}.log"),
    ):
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:] if log.exists() else []
        if last and last[0].startswith("error: "):
            return last[0].removeprefix("error: ")
    return None


def whereabouts():
    """Where what a listener wants to hear and see lies, in plain words."""
    new = [file for job in workflow.dag.jobs if job.rule.name == "infer_new_video" for file in job.output]
    if new:
        print(f"Speech of new videos: {', '.join(sorted(file for file in new if file.endswith('_generated.wav')))}.")
        return
    sounds = sorted(Path(RESULTS, "infer").glob("*_generated.wav"))
    page = Path(RESULTS, "report", "index.html")
    if sounds:
        print(f"Speech: {sounds[0]}, beside the recording {sounds[0].stem.removesuffix('_generated')}_original.wav.")
    if page.exists():
        print(f"To listen and look: open {page} in a browser.")
    unsaid = [name for name, said in plain(SETTINGS.pack).items() if said == "not stated"]
    if unsaid and any(job.rule.name == "make_pack" for job in workflow.dag.jobs):
        print(
            f"Before you share {PACK}, say its {', '.join(unsaid)} under pack: in the configuration; a voice is personal data."
        )


def tell_harmful_vocoder():
    """The verdict on the vocoder in use, where it is a bad one."""
    from rtmri_speech.report.scores import vocoder_verdict

    if sentence := vocoder_verdict(EVALUATION):
        print(sentence, file=sys.stderr)

# Definitions shared by all stages: validated configuration, clips and their split, paths, and helper functions.

import json
import os
import sys
import time
from pathlib import Path

# Of this checkout, which may be a module of another workflow (workflow.basedir is then the other's).
BASE = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent

# Scripts run the code of this checkout, installed or not, with Snakemake's Python (or that of a job's conda environment, which
# precedes it in PATH), locally and on a cluster.
sys.path.insert(0, str(BASE / "src"))
for name, first in {
    "PYTHONPATH": BASE / "src",
    "PATH": Path(sys.executable).parent,
}.items():
    os.environ[name] = os.pathsep.join([str(first), *filter(None, [os.environ.get(name)])])
# Logs are read as UTF-8; on Windows, jobs would write them in the system's code page.
os.environ |= {"PYTHONIOENCODING": "utf-8"}

from rtmri_speech import command_line
from rtmri_speech.atomic import remove_abandoned
from rtmri_speech.configuration import load_configuration, takeover_notes, takes_over
from rtmri_speech.corpora.configured import read_corpus, set_notes
from rtmri_speech.corpora.reading import Reading
from rtmri_speech.dataset.clip import clips_from_directories, clips_from_table, ids_pattern, with_rate
from rtmri_speech.dataset.corpus import included, normalised_clips, recording_names
from rtmri_speech.dataset.filelists import moved_clips
from rtmri_speech.dataset.grouping import divide
from rtmri_speech.dataset.split import SPLITS, SMALL
from rtmri_speech.errors import JOB, UserError, some_of
from rtmri_speech.paths import of_checkout
from rtmri_speech.preflight import check_named
from rtmri_speech.provenance import contents_hash
from rtmri_speech.code_version import code_hash
from rtmri_speech.settings.fields import plain
from rtmri_speech.settings.flags import command_line_of
from rtmri_speech.signal.mel import MelSpec
from rtmri_speech.vocoder.naming import discriminators_beside
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake_logger_plugin_rtmri import WORKFLOW

os.environ[JOB] = "1"

# For sentences to the user: shown on the terminal, and in Snakemake's log file.
TERMINAL = logger.getChild(WORKFLOW)

# Replace the shell by the job: otherwise a signal to the shell would leave the job running. This requires that every
# `shell:` is a single simple command, for which Snakemake's default prefix `set -euo pipefail` has no effect.
# As a module it is omitted, since it would apply to the commands of the other workflow too.
if os.name == "posix" and not workflow.modifier.is_module:
    shell.prefix("exec ")


def text(path):
    """Return a path of the settings as a string for Snakemake, or None."""
    return path and path.as_posix()


try:
    SETTINGS = load_configuration(config)
    RESULTS = text(SETTINGS.results)
    DATASET = text(SETTINGS.dataset) or f"{RESULTS}/dataset"
    # Recordings that the workflow makes are beside their dataset: experiments that share the one share the others.
    DEMO = (Path(DATASET).parent / "demo").as_posix()
    NORMALIZED = (Path(DATASET).parent / "normalized_videos").as_posix()
    # The processed directory of the older system, where its data are taken over.
    LAB_DIR = text(SETTINGS.lab.processed) if takes_over(SETTINGS) else None
    if LAB_DIR:
        from rtmri_speech.takeover.lab_dataset import lab_clips

        LAB_CLIPS = lab_clips(Path(LAB_DIR), SETTINGS.corpus.videos, SETTINGS.corpus.audio)
        READING = Reading(included(LAB_CLIPS, SETTINGS.corpus.exclude))
    else:
        READING = read_corpus(SETTINGS.corpus, Path(DEMO))
    DIVIDED = divide(READING.clips, SETTINGS.split)
    SPLIT_CLIPS = DIVIDED.splits
    RAW_CLIPS = {id: clip for id, clip in READING.clips.items() if id not in DIVIDED.left_out}
    # Reported by the main process only.
    MOVED_CLIPS = moved_clips(Path(DATASET, "hifigan_filelists"), SPLIT_CLIPS) if workflow.is_main_process else []
    CLIPS = RAW_CLIPS if SETTINGS.corpus.raw_videos is None else normalised_clips(RAW_CLIPS, Path(NORMALIZED))
except UserError as error:
    raise WorkflowError(str(error)) from None

# In the main process only, not in every job.
if workflow.is_main_process:
    for note in [*takeover_notes(SETTINGS), *set_notes(READING, SETTINGS.corpus.source), *DIVIDED.notes]:
        TERMINAL.info(note)
    if MOVED_CLIPS:
        TERMINAL.info(
            f"The split moves {len(MOVED_CLIPS)} clips to another split ({some_of(MOVED_CLIPS, 5)}): models"
            " trained on them will be retrained. With the hash no clip moves, but it is used only from"
            f" {SMALL} clips on; split.named assigns clips explicitly."
        )
    if not SPLIT_CLIPS["test"]:
        TERMINAL.info("The split has no test clips: nothing is scored, and no page is made.")

TRAINED_SPLITS = ("training", "validation")
TEST_CLIPS = SPLIT_CLIPS["test"]
SEEN_CLIPS = [id for split in TRAINED_SPLITS for id in SPLIT_CLIPS[split]]

# Logs, benchmarks and states are in the results directory, so that deleting it deletes them too.
LOGS = f"{RESULTS}/logs"
STATES = f"{RESULTS}/.state"
BENCHMARKS = f"{RESULTS}/benchmarks"

# Whether jobs of single clips run on the machine that runs Snakemake instead of being submitted.
CLIPS_LOCAL = SETTINGS.cluster.clips == "local"


def provenance_of(stage):
    """Return the provenance JSON of a stage, which is included in Snakemake's report."""
    return report(
        f"{RESULTS}/provenance/{stage}.json",
        caption="../workflow/report/provenance.rst",
        category="Provenance",
        labels={"stage": stage},
    )


wildcard_constraints:
    # Only clips of the corpus: other ids match no rule.
    id=ids_pattern(CLIPS),
    split="|".join(SPLITS),


def paths(pattern, ids):
    """Return ``pattern`` with ``{id}`` replaced by each id."""
    return [pattern.replace("{id}", id) for id in ids]


def script(name):
    """Return the path of a script, relative to the working directory if possible, so that a checkout can be moved."""
    path = BASE / "workflow" / "scripts" / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def flags(**settings):
    """Return command-line flags, quoted for the shell.

    A single string, because Snakemake searches every element of a list for wildcards in every job.
    """
    return command_line.flags(settings)


# Memory requests are 1.5 times the measured use (benchmarks/check_resources.py) plus 140 MB for Snakemake, which runs inside the
# job on a cluster.
def more_on_retry(amount):
    """Return a resource function that doubles ``amount`` with each attempt."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)


def minutes_for(clips, seconds):
    """Return the runtime in minutes of a job with ``seconds`` per clip, plus ten minutes for start-up and slow disks."""
    return 10 + len(clips) * seconds // 60


def existing(path):
    """Return ``[path]`` if it exists or can be made, else []: the job then reports the missing file, and others continue."""
    made = any(path.is_relative_to(directory) for directory in (RESULTS, DEMO, NORMALIZED))
    return [str(path)] if path.exists() or made else []


def pair_of(base):
    """Return the files of a checkpoint to start from. It may have no discriminators; the preflight checks whether it needs them."""
    pair = [base, str(discriminators_beside(base))] if base else []
    return [file for file in pair if os.path.exists(file) or not os.path.exists(base)]


def sources_of(clip):
    """Return the source files of a clip that exist or can be made."""
    return [source for path in clip.sources for source in existing(path)]


def new_clips(source):
    """Return the clips of a TSV, or of a directory with videos and optional sound files."""
    if source is None:
        return {}
    source = Path(source)
    clips = clips_from_table(source) if source.is_file() else clips_from_directories(source, source, own_track=True)
    return with_rate(clips, SETTINGS.corpus.frame_rate)


def speaker_lists(ids):
    """Return the lists of who speaks in clips of the corpus, for jobs of models that distinguish speakers."""
    if not SETTINGS.acoustic.distinguishes_speakers:
        return []
    return [f"{DATASET}/speakers/{split}.json" for split in SPLITS if set(ids) & set(SPLIT_CLIPS[split])]


def new_speaker(clip):
    """Return the speaker of a new video as set, or as its table says if the corpus has training clips of theirs."""
    known = {RAW_CLIPS[id].speaker for id in SPLIT_CLIPS["training"]} if ACOUSTIC.distinguishes_speakers else set()
    return SYNTHESIS.speaker or (clip.speaker if clip.speaker in known else None)


def asks_for_new_speech():
    """Return whether `infer_new` or its files are targets; from the command line, as Snakemake does not expose targets."""
    return any(word == "infer_new" or word.startswith(f"{INFER_NEW}/") for word in sys.argv[1:])


def models_digest():
    """Return context, model files and their hashes."""
    files = {name: {"file": file, "sha256": contents_hash(file)} for name, file in SPEAKING_FILES.items()}
    return {"context": ACOUSTIC.context, **files}


def models_are_made():
    """Return whether the models exist and are those of the last digest."""
    files = [Path(file) for file in (MODELS_DIGEST, *SPEAKING_FILES.values())]
    return all(file.is_file() for file in files) and json.loads(files[0].read_text(encoding="utf-8")) == models_digest()


def require_new_videos():
    """Refuse `infer_new` without new videos."""
    if not NEW_CLIPS:
        raise WorkflowError(
            "infer_new: synthesis.new_videos names no video; give a directory or a table,"
            " such as --config 'synthesis={new_videos: my_videos}'."
        )


def new_speech():
    """Return the targets of `infer_new`."""
    require_new_videos()
    return [rules.infer_new_video.output.generated.replace("{new_id}", id) for id in NEW_CLIPS]


def comparison():
    """Return the page that compares; without other experiments or test clips, there is none."""
    if not COMPARED or not TEST_CLIPS:
        raise WorkflowError(
            "compare: report.compare_with names no results directory, or there are no test clips; give a directory, such"
            " as --config 'report={compare_with: [results]}'."
        )
    return rules.compare_experiments.output.page


# Tolerated difference between clocks of machines with a shared disk, seconds.
CLOCKS_DIFFER = 60


def refuse_future_files():
    """Refuse input files dated in the future: Snakemake would consider everything made from them out of date."""
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
            " or set the file's date to now (touch)."
        )

# Recordings: the demo corpus, and normalisation of raw videos.

from rtmri_speech.evaluation.phonemes import find_phonemes

if SETTINGS.corpus.source == "demo":

    rule make_demo_clip:
        """Generate a demo clip: video, sound, and a description with phonemes and F0."""
        output:
            video=f"{RESULTS}/demo/videos/{{id}}.mp4",
            audio=f"{RESULTS}/demo/audio/{{id}}.wav",
            description=f"{RESULTS}/demo/descriptions/{{id}}.json",
        log:
            f"{LOGS}/make_demo_clip/{{id}}.log",
        benchmark:
            f"{BENCHMARKS}/make_demo_clip/{{id}}.tsv"
        localrule: CLIPS_LOCAL
        conda:
            "../envs/rtmri.yaml"
        threads: 1
        resources:
            mem_mb=more_on_retry(450),
            runtime=more_on_retry(10),
        params:
            script=script("make_demo_corpus.py"),
            code=code_hash("demo.corpus"),
            seed=SETTINGS.corpus.demo.seed,
        shell:
            "python {params.script:q} --clip {wildcards.id} --seed {params.seed}"
            " --video {output.video:q} --audio {output.audio:q} --description {output.description:q} > {log:q} 2>&1"


if SETTINGS.corpus.raw_videos is not None:

    RECORDINGS = {name: video for video, name in recording_names(RAW_CLIPS).items()}

    rule normalize_video:
        """Rotate, crop and normalise a raw recording (of one or more clips) frame by frame, in grey."""
        input:
            lambda wildcards: existing(RECORDINGS[wildcards.recording]),
        output:
            f"{RESULTS}/normalized_videos/{{recording}}.mp4",
        log:
            f"{LOGS}/normalize_video/{{recording}}.log",
        benchmark:
            f"{BENCHMARKS}/normalize_video/{{recording}}.tsv"
        wildcard_constraints:
            recording=ids_pattern(RECORDINGS),
        localrule: CLIPS_LOCAL
        conda:
            "../envs/rtmri.yaml"
        threads: 1
        resources:
            mem_mb=more_on_retry(500),
            runtime=more_on_retry(20),
        params:
            script=script("normalize_videos.py"),
            code=code_hash("dataset.normalize"),
            video=lambda wildcards: str(RECORDINGS[wildcards.recording]),
            settings=" ".join(
                [command_line_of(SETTINGS.video, None, "size"), command_line_of(SETTINGS.corpus.raw_videos)]
            ),
        shell:
            "python {params.script:q} --input {params.video:q} --output {output:q} {params.settings} > {log:q} 2>&1"


# Phoneme labels of the test clips, where available.
if SETTINGS.corpus.source == "demo":
    PHONEMES = f"{RESULTS}/demo/descriptions"
    PHONEME_FILES = paths(rules.make_demo_clip.output.description, TEST_CLIPS)
else:
    PHONEMES = text(SETTINGS.corpus.phonemes)
    PHONEME_FILES = [path for id in TEST_CLIPS if PHONEMES and (path := find_phonemes(PHONEMES, id))]
# Transcripts of the test clips, where available.
TRANSCRIPTS = [path for id in TEST_CLIPS if PHONEMES and (path := Path(PHONEMES, f"{id}.txt")).is_file()]

# Recordings: the demo corpus, and normalisation of raw videos.

from rtmri_speech.evaluation.transcripts import said_in

if SETTINGS.corpus.source == "demo":

    rule make_demo_clip:
        """Generate a demo clip: video, sound, and a description with phonemes and F0."""
        output:
            video=f"{DEMO}/videos/{{id}}.mp4",
            audio=f"{DEMO}/audio/{{id}}.wav",
            description=f"{DEMO}/descriptions/{{id}}.json",
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
    RATES = {clip.video: clip.frame_rate for clip in RAW_CLIPS.values()}
    RECORDING_RATES = {name: RATES[video] for name, video in RECORDINGS.items()}

    rule normalize_video:
        """Rotate, crop and normalise a raw recording (of one or more clips) frame by frame, in grey."""
        input:
            lambda wildcards: existing(RECORDINGS[wildcards.recording]),
        output:
            f"{NORMALIZED}/{{recording}}.mp4",
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
            rate=lambda wildcards: flags(frame_rate=RECORDING_RATES[wildcards.recording]),
            settings=" ".join(
                [command_line_of(SETTINGS.video, None, "size"), command_line_of(SETTINGS.corpus.raw_videos)]
            ),
        shell:
            "python {params.script:q} --input {params.video:q} --output {output:q} {params.settings}"
            " {params.rate} > {log:q} 2>&1"


# Phoneme labels of the test clips, where available.
if SETTINGS.corpus.source == "demo":
    SAID = {}
    PHONEMES = f"{DEMO}/descriptions"
    PHONEME_FILES = paths(rules.make_demo_clip.output.description, TEST_CLIPS)
else:
    try:
        SAID = said_in({id: CLIPS[id] for id in TEST_CLIPS}, SETTINGS.corpus.phonemes)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    PHONEMES = f"{RESULTS}/transcripts"
    PHONEME_FILES = paths(f"{PHONEMES}/{{id}}.json", SAID)

    if SAID:

        rule write_transcripts:
            """The words and phonemes of each test clip, cut out of the annotation of its recording."""
            input:
                sorted({str(said.alignment) for said in SAID.values() if said.alignment}),
            output:
                PHONEME_FILES,
            log:
                f"{LOGS}/write_transcripts.log",
            localrule: True
            params:
                said={id: [str(said.alignment), said.begin, said.end, said.text] for id, said in SAID.items()},
            run:
                from rtmri_speech.evaluation.transcripts import write_transcript

                for file, (id, said) in zip(output, SAID.items(), strict=True):
                    write_transcript(file, id, said)


# Of a text alone no errors by phoneme are drawn.
PHONEMES_KNOWN = SETTINGS.corpus.source == "demo" or any(said.alignment for said in SAID.values())

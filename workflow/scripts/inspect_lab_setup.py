"""Inspect directories of the lab's older system: contents, compatibility, and a proposed configuration.

    inspect_lab_setup.py C:/hifi-gan D:/研究用 --write config/my_lab.yaml

The directories are not changed. Exit code: 0 if everything can be used, 1 if something is broken or incompatible (it is
reported and omitted from the configuration), 2 if no configuration can be proposed.
"""

import argparse
import io
import sys
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR", help="directories to inspect recursively")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the proposed configuration to this file")
    args = parser.parse_args()

    import yaml

    from rtmri_speech.atomic import save_text
    from rtmri_speech.configuration import load_configuration
    from rtmri_speech.takeover.findings import findings, measure_sounds
    from rtmri_speech.takeover.proposal import propose, report
    from rtmri_speech.takeover.survey import survey

    # Print paths that the terminal's code page cannot encode.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    found = survey(args.directories)
    measured = {dataset.path: measure_sounds(dataset, found) for dataset in found.datasets}
    sounds = {path: each for path, each in measured.items() if each is not None}
    faults = findings(found, sounds)
    try:
        proposal = propose(found, faults, sounds)
    except UserError:
        print(report(found, faults, None, sounds), end="\n\n", flush=True)
        raise
    print(report(found, faults, proposal, sounds))
    load_configuration(yaml.safe_load(proposal.text))
    if args.write:
        save_text(args.write, proposal.text)
        print(f"\nThe configuration is in {args.write}; snakemake -n --configfile={args.write} lists its jobs.")
    else:
        print(f"\nProposed configuration (--write FILE saves it):\n\n{proposal.text}")
    return int(bool(found.broken or faults))


if __name__ == "__main__":
    run_script(main)

"""Look through the directories of a machine of the older system: what is there, what fits together, what to configure.

    inspect_lab_setup.py C:/hifi-gan D:/研究用 --write config/my_lab.yaml

Nothing in the directories is changed. The exit code is 0 when all that is there can be taken over, 1 when something is
broken or does not fit (it is said, and left out of the configuration), and 2 when no configuration can be proposed.
"""

import argparse
import sys
from pathlib import Path

from rtmri_speech.errors import UserError, run_script


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR", help="looked through with all below them")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the proposed configuration there")
    args = parser.parse_args()

    import yaml

    from rtmri_speech.atomic import save_text
    from rtmri_speech.configuration import load_configuration
    from rtmri_speech.takeover.findings import findings, measure_sounds
    from rtmri_speech.takeover.proposal import propose, told_plainly
    from rtmri_speech.takeover.survey import survey

    # Paths are printed whatever the terminal's code page.
    sys.stdout.reconfigure(errors="replace")
    found = survey(args.directories)
    measured = {dataset.path: measure_sounds(dataset, found) for dataset in found.datasets}
    sounds = {path: heard for path, heard in measured.items() if heard is not None}
    told = findings(found, sounds)
    try:
        proposal = propose(found, told, sounds)
    except UserError:
        print(told_plainly(found, told, None, sounds), end="\n\n", flush=True)
        raise
    print(told_plainly(found, told, proposal, sounds))
    load_configuration(yaml.safe_load(proposal.text))
    if args.write:
        save_text(args.write, proposal.text)
        print(f"\nThe configuration is in {args.write}: snakemake -n --configfile={args.write} says what it makes.")
    else:
        print(f"\nThe configuration to write (--write FILE does it):\n\n{proposal.text}")
    return int(bool(found.broken) or any(one.defect is None for one in told))


if __name__ == "__main__":
    run_script(main)

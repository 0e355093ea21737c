"""A temporary SLURM on this machine for tests: munged, slurmctld and slurmd as root, and two simulated GPUs."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
_SYSTEM = ("/usr/sbin", "/sbin")
_PATH = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM])

CONFIGURATION = """\
ClusterName=throwaway
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
ReturnToService=2
SlurmdParameters=config_overrides
# A job may take so long to save after its SIGTERM, on a busy machine too.
KillWait=60
MinJobAge=3600
SlurmdTimeout=300
MailProg=/bin/true
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs=32 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes={node} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={node} MaxTime=INFINITE State=UP
"""

KILLING_OVER_MEMORY = """\
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
"""


def missing() -> str | None:
    """Return what this machine lacks for it, or None."""
    if os.name == "nt" or os.getuid() != 0:
        return "a throw-away SLURM needs root"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "snakemake-executor-plugin-slurm is not installed (the extra cluster)"
    absent = [name for name in (*DAEMONS, "sbatch", "squeue") if shutil.which(name, path=_PATH) is None]
    return f"{', '.join(absent)} not installed (apt-get install slurm-wlm)" if absent else None


def free_ports(count: int) -> list[int]:
    """Return unused loopback ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Slurm:
    """A SLURM of one node, with the partitions ``cpu`` and ``gpu`` (a context manager).

    Parameters
    ----------
    directory : for all its files; its path must be short, as a socket's name.
    over_memory_kill : kill a job whose processes are seen with more memory than it asked for.

    Attributes
    ----------
    bin : directory of the client commands for this SLURM, for PATH.
    """

    def __init__(self, directory: Path, *, over_memory_kill: bool = False) -> None:
        self.directory, self.bin = directory, directory / "bin"
        for name in ("bin", "state", "spool", "dev"):
            (directory / name).mkdir(parents=True)
        directory.chmod(0o755)
        self.node = socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(directory=directory, node=self.node, ports=free_ports(2))
        gpus = [directory / "dev" / f"gpu{number}" for number in range(2)]
        for gpu in gpus:
            try:
                os.mknod(gpu, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            except PermissionError:
                gpu.touch()
        self._configuration = directory / "slurm.conf"
        self._configuration.write_text(text + (KILLING_OVER_MEMORY if over_memory_kill else ""))
        (directory / "gres.conf").write_text(f"NodeName={self.node} Name=gpu File={directory}/dev/gpu[0-1]\n")
        (directory / "cgroup.conf").write_text("ConstrainDevices=no\n")
        # A job's step is started without the SLURM variables around it, SLURM_CONF too: every client is told.
        for name in ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo"):
            wrapper = self.bin / name
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self._configuration} exec {shutil.which(name)} "$@"\n')
            wrapper.chmod(0o755)

    def __enter__(self) -> "Slurm":
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def _start(self) -> None:
        key = self.directory / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
        names["seed-file"] = "munge.seed"
        options = [f"--{option}={self.directory / name}" for option, name in names.items()]
        # --force: a socket in a directory that others may enter, a temporary one, is no matter here.
        self._daemon("munged", "--force", "--num-threads=2", *options)
        self._daemon("slurmctld", "-f", self._configuration)
        self._daemon("slurmd", "-f", self._configuration)
        self.wait(lambda: self.run("sinfo", "-h", "-o", "%T").strip() == "idle", "the node is not up")

    def _daemon(self, name: str, *arguments: object) -> None:
        environment = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(self._configuration)}
        subprocess.run(
            [name, *map(str, arguments)],
            env=environment,
            stdout=(self.directory / f"{name}.out").open("w"),
            stderr=subprocess.STDOUT,
            check=True,
            timeout=60,
        )

    def _stop(self) -> None:
        if (self.directory / "slurmctld.pid").exists():
            for job in self.jobs().values():
                if job["JobState"] in ("PENDING", "RUNNING"):
                    self.run("scancel", job["JobId"])
            with contextlib.suppress(AssertionError):
                self.wait(lambda: not self.run("squeue", "-h"), "jobs stay", within=90)
        for name in reversed(DAEMONS):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
                pid = int((self.directory / f"{name}.pid").read_text())
                if Path("/proc", str(pid), "comm").read_text().strip() == name:
                    os.kill(pid, signal.SIGTERM)
                    self.wait(lambda pid=pid: not Path("/proc", str(pid)).exists(), f"{name} does not end")

    def run(self, command: str, *arguments: str, check: bool = True) -> str:
        """Run a client command and return what it prints."""
        done = subprocess.run([self.bin / command, *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """Return all jobs by ID, as shown by ``scontrol show job``."""
        told = self.run("scontrol", "show", "job", "-o", check=False).splitlines()
        jobs = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in told]
        return {job["JobId"]: job for job in jobs if "JobId" in job}

    @staticmethod
    def wait(condition, otherwise: str, within: float = 300.0):
        """Wait until ``condition()`` is true and return its value."""
        end = time.monotonic() + within
        while not (found := condition()):
            assert time.monotonic() < end, otherwise
            time.sleep(0.1)
        return found

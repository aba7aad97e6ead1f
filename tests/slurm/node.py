"""A Slurm of one node on the loopback interface, for tests: no systemd, no cgroups, no database.

Its devices are fakes: Slurm asks for a character device each, and gives jobs its number.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

SYSTEM = Path("/etc/slurm/slurm.conf")
"""Where Slurm looks for its configuration; job steps are given no environment variable for it."""

PACKAGES = {
    "munged": "munge",
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
}

CONFIGURATION = """
ClusterName=agc
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={control_port}
SlurmdPort={node_port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.sock,cred_expire=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
MinJobAge=600
KillWait=20
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2
PartitionName=gpu Nodes={host} Default=YES MaxTime=INFINITE DefaultTime=60
"""
GPUS = "NodeName={host} Name=gpu File=/dev/null\nNodeName={host} Name=gpu File=/dev/zero\n"


def missing() -> list[str]:
    """What this machine lacks for these tests, one line each."""
    lacking = []
    if os.geteuid() != 0:
        lacking.append("root: the daemons of Slurm start jobs as other users")
    packages = sorted({package for name, package in PACKAGES.items() if not shutil.which(name)})
    if packages:
        lacking.append(f"Debian packages: apt-get install {' '.join(packages)}")
    if find_spec("snakemake_executor_plugin_slurm") is None:
        lacking.append("Snakemake's plugin: pip install 'agc-bench[slurm]'")
    if os.path.lexists(SYSTEM):
        lacking.append(f"a machine without a Slurm of its own: {SYSTEM} is there")
    return lacking


class Node:
    """Starts the three daemons in ``folder`` and stops exactly those."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Raises RuntimeError if the node takes no jobs within 30 seconds."""
        host = socket.gethostname().partition(".")[0]
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        key = self.folder / "munge" / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        text = CONFIGURATION.format(
            host=host,
            folder=self.folder,
            control_port=_free_port(),
            node_port=_free_port(),
            cpus=os.cpu_count(),
            memory=int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.8 / 2**20),
        )
        configuration = self.folder / "slurm.conf"
        configuration.write_text(text, encoding="utf-8")
        (self.folder / "gres.conf").write_text(GPUS.format(host=host), encoding="utf-8")
        SYSTEM.parent.mkdir(exist_ok=True)
        SYSTEM.symlink_to(configuration)
        self._daemon("munged", "--foreground", "--force", *self._munge_files())
        self._wait(lambda: (self.folder / "munge" / "munge.sock").exists())
        self._daemon("slurmctld", "-D", "-f", str(configuration))
        self._daemon("slurmd", "-D", "-f", str(configuration), "-N", host)
        self._wait(lambda: self.ask("sinfo", "-h", "-o", "%T").strip() == "idle")

    def stop(self) -> None:
        """Cancel what is left, and end the daemons."""
        with suppress(OSError, subprocess.SubprocessError, RuntimeError):
            self.ask("scancel", "--partition=gpu")
            self._wait(lambda: not self.ask("squeue", "-h"))
        for process in reversed(self.running):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        if SYSTEM.is_symlink() and SYSTEM.readlink() == self.folder / "slurm.conf":
            SYSTEM.unlink()

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints."""
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    def jobs(self, prefix: str) -> list[int]:
        """Numbers of the running jobs whose names begin with ``prefix``."""
        lines = self.ask("squeue", "-h", "-t", "RUNNING", "-o", "%i %j").splitlines()
        pairs = [line.split() for line in lines]
        return [int(number) for number, name in pairs if name.startswith(prefix)]

    def ended(self, prefix: str) -> list[tuple[int, str]]:
        """Number and last state of each such job that has ended, in the order of their ends."""
        journal = self.folder / "jobs.txt"
        lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
        found = [job for job in map(_pairs, lines) if job["Name"].startswith(prefix)]
        return [(int(job["JobId"]), job["JobState"]) for job in found]

    def states(self, prefix: str) -> list[str]:
        """Last state of each such job that has ended, in the order of their ends."""
        return [state for _, state in self.ended(prefix)]

    def described(self, job: int) -> dict[str, str]:
        """What ``scontrol`` says about a job."""
        return _pairs(self.ask("scontrol", "show", "job", str(job)))

    def limit(self, job: int, minutes: int) -> None:
        """Give a running job another time limit, counted from its start."""
        self.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes}")

    def cancel(self, prefix: str) -> None:
        """End what is left of such jobs, queued or running."""
        lines = self.ask("squeue", "-h", "-o", "%i %j").splitlines()
        pairs = [line.split() for line in lines]
        left = [number for number, name in pairs if name.startswith(prefix)]
        if left:
            self.ask("scancel", *left)
            self._wait(lambda: not self.ask("squeue", "-h", f"--jobs={','.join(left)}"), 60)

    def _munge_files(self) -> list[str]:
        folder = self.folder / "munge"
        names = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munged.pid"}
        names |= {"seed-file": "munged.seed", "log-file": "munged.log"}
        return [f"--{option}={folder / name}" for option, name in names.items()]

    def _daemon(self, *command: str) -> None:
        log = (self.folder / f"{command[0]}.out").open("wb")
        with log:
            self.running.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _wait(self, met: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not met():
            if time.monotonic() > deadline or any(p.poll() is not None for p in self.running):
                logs = "".join(p.read_text(errors="replace") for p in self.folder.glob("*.log"))
                raise RuntimeError(f"Slurm did not come up:\n{logs[-3000:]}")
            time.sleep(0.2)


def _pairs(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

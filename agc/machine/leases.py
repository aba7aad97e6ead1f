"""One accelerator, one process, or so many slots: devices of a machine, taken by file lock.

The kernel drops a lock with the process that holds it, however that ends: no device is leaked.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from agc.errors import UserError
from agc.lazy import torch

DEVICES = "AGC_DEVICES"
"""Environment variable: the devices that ``auto`` chooses from, separated by commas."""

WAIT = 0.2
"""Seconds between two looks at devices that are all in use."""

_held: dict[int, list[Lease]] = {}


@dataclass(frozen=True)
class Lease:
    """A device that belongs to this process until it ends.

    Attributes:
        device: as torch names it; ``cpu`` for a slot of the CPU.
        name: which device or slot it is: ``cuda:1``, ``cpu:2``.
    """

    device: str
    name: str
    lock: FileLock = field(repr=False, compare=False)


def take_devices(count: int = 1, folder: Path | None = None, slots: int = 1) -> list[Lease]:
    """Take free ones of this machine's devices; wait while there are too few.

    The devices are those that CUDA shows, or those of the environment variable ``AGC_DEVICES``.
    There, ``cpu:0,cpu:1`` makes slots of the CPU, and a device named twice is shared by two
    processes. A process that has devices gets the same ones again. Who waits holds none, so that
    two processes which want several never wait for each other.

    With several slots so many processes share each device; the first ones are spread over all of
    them. All processes should say the same number. One that takes several devices has a slot of
    each.

    Locks are by the device's UUID, so that processes that number the devices in other ways
    (``CUDA_VISIBLE_DEVICES``) agree on them. They hold among the processes of one user.

    Args:
        count: how many.
        folder: of the lock files; the user's own in the machine's temporary folder by default.
        slots: processes that may share a device.

    Returns:
        The leases; none where there is no device to lease.

    Raises:
        UserError: ``AGC_DEVICES`` is malformed, it has too few devices, or the folder cannot be
            used.
    """
    # By process, as a forked child has to take devices of its own.
    held = _held.get(os.getpid(), [])
    if len(held) >= count:
        return held[:count]
    names = _listed()
    if not names:
        return []
    if len(names) < count:
        raise UserError(f"{count} devices are wanted, but there are only {', '.join(names)}")
    for lease in held:
        lease.lock.release()
    folder = _lock_folder() if folder is None else folder
    keys = _keys(names * slots)
    said = False
    while len(taken := _free(names, keys, folder, count)) < count:
        for lease in taken:
            lease.lock.release()
        if not said:
            many = "a free device" if count == 1 else f"{count} free devices"
            many = many if slots == 1 else f"{count} of {slots} slots"
            print(f"agc: waiting for {many} of {', '.join(names)}", file=sys.stderr)
            said = True
        time.sleep(WAIT)
    _held[os.getpid()] = taken
    return taken


def _free(names: list[str], keys: list[str], folder: Path, count: int) -> list[Lease]:
    """Leases of the first ``count`` devices that have a free slot, or of fewer.

    Args:
        names: of the devices.
        keys: of their first slots, of their second ones, and so on.
        folder: of the locks.
        count: devices that are wanted.
    """
    taken: list[Lease] = []
    mine: set[int] = set()
    for number, key in enumerate(keys):
        place = number % len(names)
        if place in mine:
            continue
        name = names[place]
        lock = FileLock(folder / f"{key}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            continue
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot lock a device in {folder}: {reason}") from error
        mine.add(place)
        taken.append(Lease("cpu" if name.startswith("cpu") else name, name, lock))
        if len(taken) == count:
            break
    return taken


def _listed() -> list[str]:
    """Names of the devices to choose from, each with its number."""
    text = os.environ.get(DEVICES, "").strip()
    if not text:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if not re.fullmatch(r"(cpu|cuda)(:\d+)?", name):
            raise UserError(
                f"{DEVICES}={text!r}: {name!r} is no device (allowed: cpu, cpu:N, cuda, cuda:N)"
            )
    return [name if ":" in name else f"{name}:0" for name in names]


def _keys(names: list[str]) -> list[str]:
    """A lock's name per entry: which device, and the how-manieth place on it."""
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        identity = _identity(name)
        keys.append(f"{identity}-{seen[identity]}")
        seen[identity] += 1
    return keys


def _identity(name: str) -> str:
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return f"cpu-{number}"
    count = torch.cuda.device_count()
    if int(number) >= count:
        raise UserError(f"{DEVICES} names {name!r}, but this process sees {count} CUDA devices")
    return f"cuda-{torch.cuda.get_device_properties(int(number)).uuid}"


def _lock_folder() -> Path:
    """The user's folder of locks; nobody else may have put it there."""
    folder = Path(tempfile.gettempdir()) / f"agc-devices-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror or error}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(f"{folder} is not this user's folder; device locks cannot be kept there")
    return folder

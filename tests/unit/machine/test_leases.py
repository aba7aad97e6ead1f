from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections import defaultdict
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from agc.errors import UserError
from agc.machine import leases
from agc.machine.leases import take_devices

FORKED = multiprocessing.get_context("fork")
DEVICES = "cpu:0,cpu:1,cpu:2"


@pytest.fixture(autouse=True)
def no_lease_outlives_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_held", {})
    monkeypatch.setattr(leases, "WAIT", 0.01)


def note(journal: Path, *words: object) -> None:
    """One line of the journal; lines this short are appended whole."""
    with journal.open("a", encoding="utf-8") as file:
        file.write(" ".join(map(str, words)) + "\n")


def use(folder: Path, devices: str, seconds: float, count: int) -> None:
    """A job: take devices, use them, end."""
    os.environ[leases.DEVICES] = devices
    leases.WAIT = 0.005
    taken = take_devices(count, folder)
    for lease in taken:
        note(folder / "journal", "start", os.getpid(), lease.name, time.monotonic())
    time.sleep(seconds)
    for lease in taken:
        note(folder / "journal", "end", os.getpid(), lease.name, time.monotonic())


def start(folder: Path, devices: str, seconds: float, count: int = 1) -> BaseProcess:
    process = FORKED.Process(target=use, args=(folder, devices, seconds, count))
    process.start()
    return process


def uses(journal: Path, killed: dict[int, float]) -> dict[str, list[tuple[float, float]]]:
    """Per device, from when to when processes used it; a killed one used it until its kill."""
    begun: dict[tuple[int, str], float] = {}
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in journal.read_text().splitlines():
        word, pid, device, moment = line.split()
        if word == "start":
            begun[int(pid), device] = float(moment)
        else:
            found[device].append((begun.pop((int(pid), device)), float(moment)))
    for (pid, device), moment in begun.items():
        found[device].append((moment, killed[pid]))
    return found


def assert_one_at_a_time(found: dict[str, list[tuple[float, float]]]) -> None:
    for device, times in found.items():
        times.sort()
        for (_, end), (begin, _) in pairwise(times):
            assert end <= begin, f"two processes at once on {device}"


def test_eight_processes_on_three_devices_with_kills_never_share_one_and_leak_none(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("KILL_SEED", time.time_ns() % 2**32))
    print(f"KILL_SEED={seed}")
    draw = random.Random(seed)
    killed: dict[int, float] = {}
    running: list[BaseProcess] = []
    left = 64
    while left or running:
        while left and len(running) < 8:
            running.append(start(tmp_path, DEVICES, draw.uniform(0.01, 0.06)))
            left -= 1
        time.sleep(draw.uniform(0.005, 0.03))
        if draw.random() < 0.5 and running:
            victim = draw.choice(running)
            if victim.is_alive():
                killed[victim.pid or 0] = time.monotonic()
                victim.kill()
        for process in running:
            process.join(0)
        running = [process for process in running if process.is_alive()]
    found = uses(tmp_path / "journal", killed)
    assert set(found) <= set(DEVICES.split(","))  # a busy machine may never run three at once
    assert killed
    assert_one_at_a_time(found)
    # Whatever the killed ones held is free again: three processes get three devices at once.
    (tmp_path / "journal").unlink()
    last = [start(tmp_path, DEVICES, 0.5) for _ in range(3)]
    for process in last:
        process.join(20)
        assert process.exitcode == 0
    after = uses(tmp_path / "journal", {})
    assert set(after) == set(DEVICES.split(","))
    assert max(times[0][0] for times in after.values()) < min(t[0][1] for t in after.values())


def test_a_process_keeps_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(leases.DEVICES, DEVICES)
    (first,) = take_devices(folder=tmp_path)
    assert (first.device, first.name) == ("cpu", "cpu:0")
    assert take_devices(folder=tmp_path) == [first]


def test_the_next_process_gets_the_next_device_and_a_third_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(leases.DEVICES, "cpu:4,cpu:4")  # shared by two on purpose
    assert take_devices(folder=tmp_path)
    others = [start(tmp_path, "cpu:4,cpu:4", 0.3) for _ in range(2)]
    for process in others:
        process.join(20)
        assert process.exitcode == 0
    (first, second) = sorted(uses(tmp_path / "journal", {})["cpu:4"])
    assert first[1] <= second[0]
    assert capfd.readouterr().err == "agc: waiting for a free device of cpu:4, cpu:4\n"


def test_processes_that_want_several_devices_never_wait_for_each_other(tmp_path: Path) -> None:
    wanted = [2, 3, 1, 2, 3, 2]
    processes = [start(tmp_path, DEVICES, 0.02, count) for count in wanted]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = uses(tmp_path / "journal", {})
    assert sum(map(len, found.values())) == sum(wanted)
    assert_one_at_a_time(found)


def test_more_devices_than_there_are_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(leases.DEVICES, DEVICES)
    with pytest.raises(UserError, match="4 devices are wanted, but there are only cpu:0, cpu:1"):
        take_devices(4, tmp_path)
    assert not list(tmp_path.iterdir())


def test_devices_are_told_apart_by_what_they_are_not_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Properties:
        def __init__(self, number: int) -> None:
            self.uuid = f"uuid-{visible[number]}"

    monkeypatch.delenv(leases.DEVICES, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(visible))
    monkeypatch.setattr("torch.cuda.get_device_properties", Properties)
    visible = ["a", "b"]
    assert leases._keys(leases._listed()) == ["cuda-uuid-a-0", "cuda-uuid-b-0"]
    visible = ["b"]
    (lease,) = take_devices(folder=tmp_path)
    assert lease.name == lease.device == "cuda:0"
    assert [path.name for path in tmp_path.iterdir()] == ["cuda-uuid-b-0.lock"]


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cards that are not there, also for forked processes."""

    class Properties:
        def __init__(self, number: int) -> None:
            self.uuid = "ab"[number]

    monkeypatch.delenv(leases.DEVICES, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_properties", Properties)


def as_processes(
    number: int, monkeypatch: pytest.MonkeyPatch, **asked: Any
) -> list[list[leases.Lease]]:
    """What so many processes, one after the other, get."""
    found = []
    for _ in range(number):
        monkeypatch.setattr(leases, "_held", {})
        found.append(take_devices(**asked))
    return found


@pytest.mark.usefixtures("cards")
def test_slots_are_spread_over_the_cards_before_one_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = as_processes(6, monkeypatch, folder=tmp_path, slots=3)
    assert [lease.device for (lease,) in taken] == ["cuda:0", "cuda:1"] * 3
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == [f"cuda-{card}-{slot}.lock" for card in "ab" for slot in range(3)]


@pytest.mark.usefixtures("cards")
def test_a_process_of_two_devices_has_a_slot_of_each_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = as_processes(2, monkeypatch, count=2, folder=tmp_path, slots=2)
    assert [[lease.device for lease in got] for got in taken] == [["cuda:0", "cuda:1"]] * 2


def in_a_slot(folder: Path) -> None:
    (lease,) = take_devices(folder=folder, slots=2)
    note(folder / "journal", lease.lock.lock_file)


@pytest.mark.usefixtures("cards")
def test_who_finds_no_slot_waits_for_the_first_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    taken = as_processes(4, monkeypatch, folder=tmp_path, slots=2)
    monkeypatch.setattr(leases, "_held", {})
    process = FORKED.Process(target=in_a_slot, args=(tmp_path,))
    process.start()
    said = ""
    while "\n" not in said:
        said += capfd.readouterr().err
    assert said == "agc: waiting for 1 of 2 slots of cuda:0, cuda:1\n"
    assert not (tmp_path / "journal").exists()
    (third,) = taken[2]
    third.lock.release()
    process.join(30)
    assert process.exitcode == 0
    assert (tmp_path / "journal").read_text() == f"{third.lock.lock_file}\n"


@pytest.mark.parametrize("device", ["auto/0", "auto/", "auto/x", "auto/-1", "auto/1.5"])
def test_slots_that_are_no_number_are_refused(device: str) -> None:
    from agc.machine.device import prepare_machine

    with pytest.raises(UserError, match="expected auto/N, where N processes share a device"):
        prepare_machine(device)


def test_auto_with_slots_takes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agc.machine.device import prepare_machine

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(leases.DEVICES, "cpu:2")
    kept = []
    for _ in range(2):
        monkeypatch.setattr(leases, "_held", {})
        assert prepare_machine("auto/2").device == "cpu"
        kept.append(leases._held)
    found = {path.name for path in tmp_path.rglob("*.lock")}
    assert found == {"cpu-2-0.lock", "cpu-2-1.lock"}


def test_where_there_is_no_device_nothing_is_leased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(leases.DEVICES, raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert take_devices(folder=tmp_path) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cpu:0,,cpu:1", "'' is no device (allowed: cpu, cpu:N, cuda, cuda:N)"),
        ("cuda:x", "'cuda:x' is no device (allowed: cpu, cpu:N, cuda, cuda:N)"),
        ("../cpu", "'../cpu' is no device (allowed: cpu, cpu:N, cuda, cuda:N)"),
        ("cuda:99", "AGC_DEVICES names 'cuda:99', but this process sees"),
    ],
)
def test_a_malformed_list_of_devices_is_refused(
    value: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(leases.DEVICES, value)
    with pytest.raises(UserError) as error:
        take_devices(folder=tmp_path)
    assert message in str(error.value)


def test_locks_are_kept_in_a_folder_that_is_the_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(leases.DEVICES, "cpu:0")
    assert take_devices()
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    monkeypatch.setattr(leases, "_held", {})
    with pytest.raises(UserError, match="is not this user's folder"):
        take_devices()


def test_auto_trains_on_the_device_that_was_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agc.machine.device import prepare_machine

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(leases.DEVICES, "cpu:2")
    assert prepare_machine("auto").device == "cpu"
    assert list(tmp_path.rglob("cpu-2-0.lock"))

"""What a machine computes with is told as far as it is known, and never at the price of a run."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch

from agc.machine import hardware
from agc.machine.hardware import arithmetic, card, name_instruction_set, processor

X86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n"
X86 += "model name\t: AMD EPYC\n\nprocessor\t: 1\nmodel\t\t: 99\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd0c\n"
OLD_ARM = "CPU architecture: AArch64\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (X86, ("AuthenticAMD", 25, 17)),
        (ARM, ("0x41", 8, 0xD0C)),
        (OLD_ARM, (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_processors_are_told_by_their_numbers(
    text: str, expected: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    monkeypatch.setattr(hardware, "CPUINFO", path)
    found = processor()
    assert tuple(found[f"cpu_{key}"] for key in ("vendor", "family", "model")) == expected
    assert found["cpu"] == "AMD EPYC" if text == X86 else isinstance(found["cpu"], str)
    path.unlink()
    assert processor()["cpu_family"] is None


def test_the_instruction_set_is_torch_s_own_word() -> None:
    found = arithmetic()
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    for name, backend in (("onednn", torch.backends.mkldnn), ("mkl", torch.backends.mkl)):
        assert (found[name] is not None) == backend.is_available()


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (
            "  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605\n"
            "  - Intel(R) MKL-DNN v3.7.1 (Git Hash 8d26)\n  - Build settings: BLAS_INFO=mkl, X=1",
            ("3.7.1", "2024.2", "mkl"),
        ),
        (
            "  - Intel(R) Math Kernel Library Version 2020.0.0 Product Build 20191122\n",
            ("unknown", "2020.0.0", None),
        ),
        ("  - Build settings: BLAS_INFO=open, LAPACK_INFO=open", ("unknown", "unknown", "open")),
    ],
)
def test_libraries_are_read_from_how_torch_was_built(
    built: str, expected: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.__config__, "show", lambda: built)
    for backend in (torch.backends.mkldnn, torch.backends.mkl):
        monkeypatch.setattr(backend, "is_available", lambda: True)
    found = arithmetic()
    assert tuple(found[key] for key in ("onednn", "mkl", "blas")) == expected
    for backend in (torch.backends.mkldnn, torch.backends.mkl):
        monkeypatch.setattr(backend, "is_available", lambda: False)
    assert (arithmetic()["onednn"], arithmetic()["mkl"]) == (None, None)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"Build Dependencies": {"blas": {"name": "openblas", "version": "0.3"}}}, "openblas 0.3"),
        ({"Build Dependencies": {"blas": {"name": "accelerate"}}}, "accelerate"),
        ({"Build Dependencies": {}}, None),
        (None, None),
    ],
)
def test_numpy_may_tell_less(
    told: dict | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy, "show_config", lambda mode: told)
    assert arithmetic()["numpy_blas"] == expected


def test_what_is_no_cuda_device_has_no_card() -> None:
    assert card("cpu") is None
    assert card("mps") is None


class Refusing:
    """Settings of a torch whose new names were used: it refuses the old ones."""

    fp32_precision = "tf32"
    conv = SimpleNamespace(fp32_precision="ieee")

    @property
    def allow_tf32(self) -> bool:
        raise RuntimeError("mix of the legacy and new APIs")


@pytest.mark.parametrize("settings", ["old", "new"])
def test_a_card_is_told_with_its_software(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A Card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 2**20)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92600)
    if settings == "new":
        assert hardware._tf32(Refusing()) is True
        assert hardware._tf32(Refusing(), "conv") is False
        assert hardware._tf32(Refusing(), "rnn") is None
    path = tmp_path / "version"
    path.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release\n")
    monkeypatch.setattr(hardware, "DRIVER", path)
    assert card("cuda:0") == {
        "name": "A Card",
        "driver": "550.54.15",
        "cuda": "13.2",
        "cudnn": "92600",
        "compute_capability": "9.0",
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolution": torch.backends.cudnn.allow_tf32,
        "peak_memory": 2**20,
    }


@pytest.mark.parametrize(
    ("code", "printed", "expected"), [(0, "535.1\n535.1\n", "535.1"), (0, "", None), (9, "x", None)]
)
def test_the_driver_is_asked_of_its_tool_where_no_file_tells_it(
    code: int, printed: str, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "DRIVER", tmp_path / "none")
    done = SimpleNamespace(returncode=code, stdout=printed)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert hardware._driver() == expected

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", missing)
    assert hardware._driver() is None


def test_limits_are_part_of_the_name() -> None:
    assert name_instruction_set("AVX512", {"OMP_NUM_THREADS": "1"}) == "AVX512"
    limits = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    expected = "AVX2, ATEN_CPU_CAPABILITY=avx2, ONEDNN_MAX_CPU_ISA=AVX2"
    assert name_instruction_set("AVX2", limits) == expected

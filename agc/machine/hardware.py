"""What a machine computes with: processor, instruction set, libraries, card.

Kernels of another instruction set add in another order. From the same seed they train other
weights, and the name of a processor alone, such as that of a virtual machine, does not tell.
"""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agc.errors import UserError
from agc.files import read_json

LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
)
"""Environment variables that keep a library from some of the processor's instructions."""

CPUINFO = Path("/proc/cpuinfo")
DRIVER = Path("/proc/driver/nvidia/version")
CARDS = Path("/proc/driver/nvidia/gpus")

# As x86 and Arm kernels name them in /proc/cpuinfo.
_FIELDS = {
    "cpu_vendor": ("vendor_id", "CPU implementer"),
    "cpu_family": ("cpu family", "CPU architecture"),
    "cpu_model": ("model", "CPU part"),
}


def processor() -> dict[str, Any]:
    """``cpu``, its name; ``cpu_vendor``; ``cpu_family`` and ``cpu_model``, its numbers.

    All but the name are None where the system does not tell them.
    """
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    first = {key.strip(): value.strip() for key, _, value in pairs}
    name = first.get("model name") or platform.processor() or platform.machine()
    told = {
        field: next((first[key] for key in keys if first.get(key)), None)
        for field, keys in _FIELDS.items()
    }
    numbers = {key: _number(told[key]) for key in ("cpu_family", "cpu_model")}
    return {"cpu": name, **told, **numbers}


def arithmetic() -> dict[str, Any]:
    """The instruction set of torch's own kernels, and the libraries that multiply for it.

    ``cpu_capability`` is torch's name of the instruction set, such as ``AVX2``. ``onednn`` and
    ``mkl`` are versions, None where torch is without; ``blas`` is the one that torch was built
    with, such as ``mkl`` or ``open``, and ``numpy_blas`` numpy's, with its version.
    """
    import torch

    built = torch.__config__.show()
    onednn = _found(r"MKL-DNN v(\S+)|oneDNN v(\S+)", built)
    mkl = _found(r"Math Kernel Library Version (\d[\w.]*)", built)
    return {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": (onednn or "unknown") if torch.backends.mkldnn.is_available() else None,
        "mkl": (mkl or "unknown") if torch.backends.mkl.is_available() else None,
        "blas": _found(r"\bBLAS_INFO=(\w+)", built),
        "numpy_blas": _numpy_blas(),
    }


def has_card() -> bool:
    """Whether cells train on a CUDA device here, unless told otherwise."""
    import torch

    return torch.cuda.is_available()


def cards() -> list[str]:
    """Names of the NVIDIA cards, from the driver's own files: empty where there is no such driver.

    It asks neither torch nor the cards, so that planning may.
    """
    found = []
    for path in sorted(CARDS.glob("*/information")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found += [name.strip() for name in re.findall(r"^Model:(.*)$", text, re.MULTILINE)]
    return found


def card(device: str) -> dict[str, Any] | None:
    """Of a CUDA device: what it is, its software, its settings; None of any other device.

    ``peak_memory`` is in bytes of tensors since the process began or last reset it, None where
    nothing has been allocated; what is not known is None throughout.
    """
    import torch

    if torch.device(device).type != "cuda":
        return None
    cudnn = torch.backends.cudnn.version()
    return {
        "name": torch.cuda.get_device_name(device),
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
        "compute_capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "tf32_matmul": _tf32(torch.backends.cuda.matmul),
        "tf32_convolution": _tf32(torch.backends.cudnn, "conv"),
        "peak_memory": torch.cuda.max_memory_allocated(device) or None,
    }


def name_instruction_set(capability: str, limits: Mapping[str, str]) -> str:
    """What two machines must share to compute alike, in one line.

    Args:
        capability: torch's.
        limits: those of ``LIMITS`` that are set, and their values: some bind only a library.
    """
    return ", ".join([capability, *(f"{name}={limits[name]}" for name in LIMITS if name in limits)])


def recorded_instruction_sets(results: Path) -> set[str]:
    """Those that cells of ``results`` were trained with on a CPU, as far as records tell."""
    found = set()
    for path in sorted(results.glob("cells/*/record.json")):
        try:
            told = read_json(path)["provenance"]
            if not told["device"].startswith("cuda"):
                limits = told["environment"]
                found.add(name_instruction_set(told["cpu_capability"], limits))
        except (UserError, KeyError, TypeError, AttributeError):
            continue  # a record of before, or a damaged one, which `agc collect` refuses by name
    return found


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text, 0)
    except ValueError:  # such as the architecture "AArch64"
        return None


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return next(filter(None, match.groups()), None) if match else None


def _numpy_blas() -> str | None:
    import numpy

    # What numpy tells is its build's, and some builds tell less.
    built = numpy.show_config(mode="dicts") or {}
    blas = built.get("Build Dependencies", {}).get("blas", {})
    return " ".join(str(blas[key]) for key in ("name", "version") if blas.get(key)) or None


def _tf32(settings: Any, part: str | None = None) -> bool | None:
    """Whether products of float32 may round their factors to TF32."""
    try:
        return bool(settings.allow_tf32)
    except RuntimeError:  # torch refuses the old question where the new setting was used
        precise = settings if part is None else getattr(settings, part, None)
        precision = getattr(precise, "fp32_precision", None)
        return None if precision is None else precision == "tf32"


def _driver() -> str | None:
    """Version of the NVIDIA driver."""
    try:
        text = DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    if number := _found(r"Kernel Module.*?\s(\d+\.[\d.]+)", text):
        return number
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.split() or [None])[0] if done.returncode == 0 else None

"""The number format a network is fitted in: settled in the plan, since it shapes weights."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from utils import pick_device

if TYPE_CHECKING:
    import torch

FULL = "fp32"
HALF = {"bf16": "bfloat16", "fp16": "float16"}  # and torch's name of each
# Families built of depthwise convolutions, which bf16 halves in speed on a CPU with AMX (measured: mobilenetv3,
# mobilenetv4, efficientnet_b0, shufflenet_v2, efficientvit_b0; the others are built alike)
DEPTHWISE = (
    "mobilenet", "efficientnet", "efficientvit", "shufflenet", "mnasnet", "fbnet", "lcnet", "tinynet", "mixnet",
    "rexnet", "ghostnet", "spnasnet", "hardcorenas", "xception",
)  # fmt: skip


def resolved_precision(amp: str, device: str, architecture: str) -> str:
    """ "fp32", "bf16" or "fp16" for the values of AMP and DEVICE on this machine, and the network's name.

    AMP "auto" is half precision on CUDA and, except for depthwise networks, on CPUs with AMX: bf16 trains ResNets,
    DenseNets and ViTs about twice as fast there; other CPUs are about ten times slower with it than with fp32
    (benchmarks/NOTES.md). A GPU that would only emulate bf16 gets fp16. Torch is imported only where a GPU can be.
    Raises InputError when the named device is not there.
    """
    if amp in HALF:
        return amp
    if amp == "off":
        return FULL
    if on_gpu := _precision_of_gpu(device):
        return on_gpu
    tiles = device != "mps" and cpu_has_amx() and not any(family in architecture for family in DEPTHWISE)
    return "bf16" if amp == "on" or tiles else FULL


@lru_cache(maxsize=16)
def _precision_of_gpu(device: str) -> str | None:
    """The half precision of the CUDA device that `device` means here; None where it means another."""
    if device.startswith("cuda") or (device == "auto" and _has_gpu_driver()):
        import torch

        picked = pick_device(device)
        if picked.type == "cuda":
            with torch.cuda.device(picked):
                return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return None


@lru_cache(maxsize=1)
def cpu_has_amx() -> bool:
    """Whether this CPU multiplies bf16 in tiles (AMX: Intel Xeons since 2023); known on Linux only, else False."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return {"amx_tile", "amx_bf16"} <= set(flags)


def autocast_dtype(precision: str) -> torch.dtype | None:
    """What torch.autocast is given for `precision`; None where everything is computed in fp32."""
    import torch

    return getattr(torch, HALF[precision]) if precision in HALF else None


def _has_gpu_driver() -> bool:
    """False only where torch could not find a CUDA or ROCm device either; costs no import of torch."""
    if sys.platform == "darwin":
        return False
    if Path("/dev/kfd").exists():  # ROCm
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True

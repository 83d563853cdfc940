"""Promises about the number format: it is settled in the plan, without torch where no GPU can be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from fer.machine import precision
from fer.machine.precision import autocast_dtype, resolved_precision
from fer.settings.settings import PROJECT
from utils import InputError

REAL_CPU_HAS_AMX = precision.cpu_has_amx


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """What one pretended machine gave must not answer for another."""
    precision._precision_of_gpu.cache_clear()
    yield
    precision._precision_of_gpu.cache_clear()


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, bf16: bool) -> None:
    monkeypatch.setattr(precision, "_has_gpu_driver", lambda: True)
    monkeypatch.setattr(precision, "pick_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)


@pytest.mark.parametrize(
    ("amp", "device", "bf16", "expected"),
    [("auto", "auto", True, "bf16"), ("auto", "cuda", True, "bf16"), ("auto", "cuda:1", False, "fp16"),
     ("on", "auto", False, "fp16"), ("off", "cuda", True, "fp32"), ("auto", "cpu", True, "fp32"),
     ("auto", "mps", True, "fp32"), ("on", "cpu", True, "bf16"), ("fp16", "cuda", True, "fp16"),
     ("bf16", "cpu", False, "bf16")],
)  # fmt: skip
def test_what_each_setting_means(
    monkeypatch: pytest.MonkeyPatch, amp: str, device: str, bf16: bool, expected: str
) -> None:
    """A GPU that only emulates bf16 (before Ampere) gets fp16."""
    pretend_gpu(monkeypatch, bf16)
    assert resolved_precision(amp, device, "resnet50") == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_auto_is_fp32_and_a_named_gpu_is_refused() -> None:
    assert resolved_precision("auto", "auto", "resnet50") == "fp32"
    with pytest.raises(InputError, match="not available"):
        resolved_precision("auto", "cuda", "resnet50")


@pytest.mark.parametrize(
    ("flags", "found"), [("fpu amx_bf16 amx_tile amx_int8", True), ("fpu avx512f avx512_bf16", False), ("", False)]
)
def test_only_a_cpu_with_tiles_for_bf16_trains_in_it(monkeypatch: pytest.MonkeyPatch, flags: str, found: bool) -> None:
    REAL_CPU_HAS_AMX.cache_clear()
    monkeypatch.setattr(Path, "read_text", lambda _: f"processor\t: 0\nflags\t\t: {flags}\n")
    assert REAL_CPU_HAS_AMX() is found
    monkeypatch.setattr(precision, "cpu_has_amx", REAL_CPU_HAS_AMX)
    assert resolved_precision("auto", "cpu", "resnet50") == ("bf16" if found else "fp32")
    assert resolved_precision("off", "cpu", "resnet50") == "fp32"
    assert resolved_precision("auto", "cpu", "tf_efficientnetv2_s") == "fp32"
    REAL_CPU_HAS_AMX.cache_clear()


@pytest.mark.slow
def test_it_is_settled_without_torch_where_there_is_no_gpu() -> None:
    code = "from fer.machine import precision as p; import sys; p._has_gpu_driver = p.cpu_has_amx = lambda: False\n"
    code += "found = [p.resolved_precision(*how, 'resnet50') for how in (('auto', 'auto'), ('on', 'cpu'))]\n"
    code += "print(*found, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fp32", "bf16", "False"]


def test_what_torch_is_given() -> None:
    assert [autocast_dtype(name) for name in ("fp32", "bf16", "fp16")] == [None, torch.bfloat16, torch.float16]

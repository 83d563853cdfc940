"""Promises of `--models`: the stored table is true, the list needs no network library, a word finds what holds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import timm

import fer.networks.catalogue as catalogue
from benchmarks.networks_table import measured
from fer.networks.catalogue import Network, matching, model_lines, network_of, networks, tags_here
from fer.networks.names import SHORT_NAMES, network_problem
from fer.settings.settings import PROJECT, ModelRow
from main import choose_config, parse_arguments
from utils import InputError


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny", "squeezenet1_1", "googlenet", "simple_cnn"])
def test_the_stored_table_is_what_is_measured(name: str) -> None:
    stored, found = network_of(name), measured(SHORT_NAMES[name][0])
    for column in ("library", "input_size", "parameters", "flops"):
        assert getattr(stored, column) == found[column], column
    assert stored.saved_mb == pytest.approx(found["saved_mb"], rel=0.02)  # what torch saves is torch's own affair


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_a_short_name_is_a_network_with_the_weights_it_names(name: str) -> None:
    architecture, tag = SHORT_NAMES[name]
    assert name == architecture or not timm.is_model(name)  # never another network under timm's name
    assert tag is None or tag in network_of(name).tags
    assert network_problem(name, ModelRow(batch_size=1, weights=tag, input_size=32), tag is not None) is None


@pytest.mark.slow
def test_the_list_needs_no_network_library() -> None:
    code = (
        "import sys, main; assert main.main(['--models']) == 0; assert main.main(['--models', 'resnet']) == 0\n"
        "print(sorted({'torch', 'timm', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and "DEMO" not in done.stderr.upper()


def test_asking_for_the_list_is_no_plain_run() -> None:
    assert choose_config(parse_arguments(["--models"])) is None


def test_a_word_lists_every_name_that_holds_it() -> None:
    names = matching("CONVNEXT")
    assert names[0] == "convnext_tiny" and len(names) > 20 and all("convnext" in name for name in names)
    assert set(names) >= {name for name in networks() if "convnext" in name}
    lines = model_lines("convnext_tiny")
    assert lines[1].startswith("convnext_tiny") and "28.6 M" in lines[1] and "8.91" in lines[1]
    with pytest.raises(InputError, match=r"--models resnett50: no name.*resnet50"):
        matching("resnett50")


def test_every_known_network_has_its_row() -> None:
    """A newer timm has more of them: benchmarks/networks_table.py --missing adds these."""
    lacking = set(timm.list_models()) - set(networks())
    assert len(lacking) < 0.2 * len(networks())
    assert all(network_of(name).batch_size(16) for name in SHORT_NAMES)


def test_weights_on_this_computer_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--timm--resnet18.a2_in1k" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    monkeypatch.setattr(catalogue, "_hub_cache", lambda: tmp_path)
    monkeypatch.setattr(catalogue, "_torch_checkpoints", lambda: tmp_path)
    assert tags_here(network_of("resnet18")) == set()
    (snapshot / "model.safetensors").touch()
    (tmp_path / "squeezenet1_1-b8a52dc0.pth").touch()
    assert tags_here(network_of("resnet18")) == {"a2_in1k"}
    assert tags_here(network_of("squeezenet1_1")) == {"IMAGENET1K_V1"}
    assert "   a2_in1k*, a1_in1k" in model_lines(None)[1]


def test_batches_follow_memory() -> None:
    network = Network("any", "timm", 224, 25_000_000, 8_000_000_000, 86.0, ())
    assert network.batch_size(16) == 64  # 12.6 GB over 112 MB a picture: 112, and 64 is the power of two below
    assert network.batch_size(140) == 512
    assert Network("vast", "timm", 224, 10**9, 1, 5000.0, ()).batch_size(16) == 1
    assert Network("unknown", "timm", 224, None, None, None, ()).batch_size(16) is None

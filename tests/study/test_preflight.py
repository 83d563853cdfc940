"""Promises about what is known before any picture is read: names, tags, weights and devices."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm

import fer.study.preflight as preflight
import main as program
import model_utils
from fer.networks.names import own_networks, weights_source
from fer.runs.run import what_made_it_new
from fer.settings.settings import PROJECT, Settings
from fer.study.execution import execute
from fer.study.plan import open_study, planned_runs
from utils import InputError

TINY = {"batch_size": 16, "weights": None, "input_size": 16, "channels": 1}
RESNET = {"batch_size": 16, "weights": "a1_in1k", "input_size": 32}


def with_models(tiny_settings: Callable[..., Settings], *datasets: str, **models: Any) -> Settings:
    changes = {name: value for name, value in models.items() if name.isupper()}
    rows = {name: value for name, value in models.items() if not name.isupper()}
    return tiny_settings(*datasets, MODEL_CONFIG=rows, **changes)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No server answers; notes the addresses tried."""
    tried: list[str] = []

    def refuse(url: str) -> str:
        tried.append(url)
        return "no route to host"

    monkeypatch.setattr(preflight, "_try", refuse)
    return tried


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[[Settings], list[str]]:
    """A function that writes settings as a study file and returns the arguments that name it."""

    def write(settings: Settings) -> list[str]:
        path = tmp_path / "study.py"
        path.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.describe().items()))
        return ["--config", str(path)]

    return write


# ---------------------------------------------------------------- names and tags


@pytest.mark.slow
def test_own_networks_are_those_that_register() -> None:
    code = (
        "import timm; a = set(timm.list_models()); import fer.networks.simple_cnn, fer.networks.small_networks; "
        "print(*set(timm.list_models()) - a)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == own_networks()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("resnett50", RESNET, ["resnett50", "Nearest", "resnet50"]),
        ("resnet50", RESNET | {"weights": "a1_in2k"}, ['no weights "a1_in2k"', "timm has", "a1_in1k"]),
        ("tiny_plain", TINY | {"weights": "a1_in1k"}, ['no weights "a1_in1k"', "has: none"]),
        ("shufflenet_v2_x0_5", RESNET, ['no weights "a1_in1k"', "torchvision has", "IMAGENET1K_V1"]),
        ("mine", RESNET | {"weights": None, "architecture": "resnet_51"}, ['"mine"', '"resnet_51"', "Nearest"]),
        ("tiny_plain", TINY | {"weights_file": "gone.pth"}, ["gone.pth does not exist"]),
    ],
)
def test_a_name_or_tag_that_is_not_there_is_told(
    tiny_settings: Callable[..., Settings], offline: list[str], name: str, row: dict, words: list[str]
) -> None:
    (problem,) = preflight.problems_before_start(with_models(tiny_settings, **{name: row}))
    assert all(word in problem for word in words)
    assert not offline


@pytest.mark.slow
def test_all_problems_come_at_once(tiny_settings: Callable[..., Settings], offline: list[str]) -> None:
    models = {"resnett50": RESNET, "resnet18": RESNET | {"weights": "no_tag"}, "resnet50": RESNET}
    found = preflight.problems_before_start(with_models(tiny_settings, DEVICE="cuda:77", **models))
    assert [word in problem for word, problem in zip(["cuda:77", "resnett50", "no_tag", "a1_in1k"], found, strict=True)]
    assert "weights_file" in found[3]


# ---------------------------------------------------------------- weights


@pytest.mark.slow
def test_weights_are_tried_once_a_tag_and_told_once(tiny_settings: Callable[..., Settings], offline: list[str]) -> None:
    models = {"resnet50": RESNET, "again": RESNET | {"architecture": "resnet50"}, "tiny_plain": TINY}
    models["resnet18"] = RESNET
    (problem,) = preflight.problems_before_start(with_models(tiny_settings, **models))
    assert problem.count("resnet50.a1_in1k") == problem.count("resnet18.a1_in1k") == 1
    for way in ("connect this machine", '"weights_file"', "PRETRAINED = False", "no route to host"):
        assert way in problem
    assert len(offline) == 2
    assert preflight.problems_before_start(with_models(tiny_settings, PRETRAINED=False, **models)) == []


@pytest.mark.slow
def test_weights_in_the_cache_are_not_asked_for(
    tiny_settings: Callable[..., Settings], offline: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    here = lambda repository, file, **_: str(tmp_path) if file.endswith(".bin") else None  # noqa: E731
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", here)
    assert preflight.problems_before_start(with_models(tiny_settings, resnet50=RESNET)) == []
    assert not offline


def test_torchvision_weights_are_looked_for_in_torchs_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = weights_source("shufflenet_v2_x0_5", "IMAGENET1K_V1")
    assert source.url.startswith("https://") and not source.here
    file = tmp_path / "hub" / "checkpoints" / source.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    file.touch()
    assert weights_source("shufflenet_v2_x0_5", "IMAGENET1K_V1").here


class Answer(BaseHTTPRequestHandler):
    """Answers /<code> with that code; /hang never does."""

    def do_HEAD(self) -> None:
        if self.path == "/hang":
            threading.Event().wait(3)
            return
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[str]:
    """A server on this machine; its address."""
    from http.server import ThreadingHTTPServer

    serving: HTTPServer = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    serving.daemon_threads = True
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


@pytest.mark.slow
def test_any_answer_counts_and_none_within_the_time_does_not(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "SHORT_TRY", 0.5)
    with socket.socket() as taken:  # bound but not listening: refuses
        taken.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{taken.getsockname()[1]}/200"
        urls = [f"{server}/200", f"{server}/404", f"{server}/401", f"{server}/hang", refused]
        found = preflight.try_all(urls)
    assert set(found) == {f"{server}/hang", refused}
    assert "timed out" in found[f"{server}/hang"]


@pytest.mark.slow
def test_servers_that_never_answer_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking up a name has no time limit of its own."""
    monkeypatch.setattr(preflight, "LONGEST_WAIT", 0.2)
    monkeypatch.setattr(preflight, "_try", lambda _: threading.Event().wait(3) or "late")
    started = preflight.time.monotonic()
    found = preflight.try_all([f"https://{number}" for number in range(20)])
    assert preflight.time.monotonic() - started < 2
    assert len(found) == 20 and "no answer" in found["https://0"]


# ---------------------------------------------------------------- commands


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["--check", "--plan", None])
@pytest.mark.parametrize("trouble", ["weights", "device"])
def test_nothing_is_decoded_before_it_is_told(
    tiny_settings: Callable[..., Settings],
    offline: list[str],
    study_file: Callable[[Settings], list[str]],
    capfd: pytest.CaptureFixture,
    argument: str | None,
    trouble: str,
) -> None:
    changes = {"tiny_plain": TINY, "DEVICE": "cuda:77"} if trouble == "device" else {"resnet50": RESNET}
    settings = with_models(tiny_settings, **changes)
    assert program.main([*study_file(settings), *([argument] if argument else [])]) == 2
    said = capfd.readouterr()
    words = ("cuda:77", "is not available") if trouble == "device" else ("PRETRAINED", "=", "False", "weights_file")
    assert all(word in said.out + said.err for word in words)
    assert "Traceback" not in said.err
    output = settings.output_path
    assert not (output / "cache").exists() and not (output / "samples").exists()


@pytest.mark.slow
def test_a_finished_study_needs_neither_weights_nor_a_network_connection(
    tiny_settings: Callable[..., Settings],
    offline: list[str],
    study_file: Callable[[Settings], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    row = {"batch_size": 16, "weights": "r160_in1k", "input_size": 32, "channels": 1}
    settings = with_models(tiny_settings, test_resnet=row, EPOCHS=1)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False, **options: create(name, **options))
    with monkeypatch.context() as patch:
        patch.setattr(preflight, "_try", lambda _: "")
        assert program.main(study_file(settings)) == 0
    assert not offline
    for argument in ("--check", "--plan", None):
        assert program.main([*study_file(settings), *([argument] if argument else [])]) == 0
    assert not offline
    assert program.main([*study_file(settings), "--set", "SEEDS=5"]) == 2
    assert "test_resnet.r160_in1k" in capfd.readouterr().err
    assert len(offline) == 1


@pytest.mark.slow
def test_weights_that_cannot_be_had_stop_their_runs_once_and_the_others_go_on(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def no_network(tag: str, pretrained: bool = False, **options: Any) -> Any:
        if pretrained:
            tried.append(tag)
            raise ConnectionError("no route")
        return create(tag, **options)

    create = timm.create_model
    monkeypatch.setattr(model_utils.timm, "create_model", no_network)
    study = open_study(with_models(tiny_settings, resnet18=RESNET, tiny_plain=TINY, EPOCHS=1, SEEDS=(1, 2, 3)))
    runs = planned_runs(study)
    with caplog.at_level("INFO", logger="fer"):
        failures = execute(study, runs)
    assert tried == ["resnet18.a1_in1k"]
    assert set(failures) == {planned.name for planned in runs if planned.run.model == "resnet18"}
    assert all("Three ways out" in said for said in failures.values())
    assert [planned.finished for planned in runs if planned.run.model == "tiny_plain"] == [True] * 3
    assert caplog.text.count("Three ways out") == 1
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.slow
def test_a_run_that_needs_mending_shows_no_traceback(
    tiny_settings: Callable[..., Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"no weights")
    study = open_study(with_models(tiny_settings, tiny_plain=TINY | {"weights_file": str(broken)}))
    (planned,) = planned_runs(study)
    with caplog.at_level("INFO", logger="fer"):
        assert "broken.pth" in execute(study, [planned])[planned.name]
    assert not any(record.exc_info for record in caplog.records)
    assert "Traceback" not in (planned.folder / "failed.txt").read_text()


@pytest.mark.slow
def test_an_impossible_run_is_an_input_error(tiny_settings: Callable[..., Settings], offline: list[str]) -> None:
    settings = with_models(tiny_settings, resnet18=RESNET)
    runs = planned_runs(open_study(settings))
    with pytest.raises(InputError, match="Three ways out"):
        preflight.refuse_impossible(settings, runs)


# ---------------------------------------------------------------- what --plan says of finished runs


@pytest.mark.slow
def test_the_plan_tells_gone_weights_and_missing_predictions_from_done(
    tiny_settings: Callable[..., Settings],
    study_file: Callable[[Settings], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    settings = tiny_settings(EPOCHS=1, SEEDS=(1, 2, 3), TTA=("none",))
    study = open_study(settings)
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    (runs[0].folder / "weights.pth").unlink()
    next((runs[1].folder / "predictions").glob("*.npz")).unlink()
    assert what_made_it_new(runs[0]) == "its weights.pth is gone"
    assert program.main([*study_file(settings), "--plan"]) == 0
    said = capfd.readouterr()
    assert "plan: 3 runs, 1 done, 1 to score, 1 to do" in said.err
    assert "its weights.pth is gone" in said.out

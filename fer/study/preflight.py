"""What can be known in a second, before any picture is read: networks, their weights, the device.

A network that has a finished run here is known to exist; its weights are asked for only when a run of it is to do, so
that a finished study needs neither timm nor a network connection.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from http.client import HTTPException
from importlib.util import find_spec
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from fer.audit.label_noise import cleanlab_problem
from fer.machine.extras import need_extra
from fer.machine.processes import joined
from fer.networks.names import UnavailableWeightsError, architecture_of, fetched_tag, network_problem, weights_source
from fer.runs.run import PlannedRun, read_run_json
from fer.settings.pretraining_row import SUPERVISED, pretraining_of
from fer.settings.settings import ModelRow, Settings
from fer.study.pretraining import starting_row
from utils import InputError, pick_device

SEARCH_PACKAGES = ("optuna", "sqlalchemy")
SHORT_TRY = 4.0  # seconds a server has to begin its answer
LONGEST_WAIT = 8.0  # seconds for all servers together: looking up a name has no limit of its own


def problems_before_start(settings: Settings) -> list[str]:
    """What stands in the way of training networks that have not been trained here, each with its fix."""
    models = [name for name in settings.models if not _was_trained(settings, name)]
    noise = cleanlab_problem() if settings.label_noise is not None else None
    lack = _search_lack(settings) if settings.search else None
    return [*(model_problems(settings, models) if models else []), *filter(None, [noise, lack])]


def _search_lack(settings: Settings) -> str | None:
    """What to install where a package that SEARCH needs is not here."""
    try:
        need_extra("search", *SEARCH_PACKAGES, *(["psycopg"] if settings.search_storage else []))
    except InputError as error:
        return f"SEARCH: {error}"
    return None


def refuse_impossible(settings: Settings, runs: Iterable[PlannedRun]) -> None:
    """Raise InputError when a run to do cannot start: its network, weights or device is not to be had."""
    models = {planned.run.model for planned in runs if not planned.finished}
    problems = model_problems(settings, [name for name in settings.models if name in models]) if models else []
    problems += _small_batches(settings, models)
    if problems:
        raise InputError(problems)


def model_problems(settings: Settings, models: Collection[str]) -> list[str]:
    """What keeps these rows of MODEL_CONFIG from being trained on this machine."""
    device = _device_problem(settings.device)
    unknown = {
        name: network_problem(name, _first_row(settings, name), settings.training_of(name).pretrained)
        for name in models
    }
    files = [_file_problem(settings, name) for name in models]
    weights = _weights_problem(settings, [name for name, problem in unknown.items() if not problem])
    shapes = _shape_problems(settings, [name for name, problem in unknown.items() if not problem])
    lack = _missing_package(settings, models)
    return [problem for problem in (device, *unknown.values(), *files, weights, lack, *shapes) if problem]


def _small_batches(settings: Settings, models: Collection[str]) -> list[str]:
    """Rows whose batch does not give each of several processes two pictures."""
    processes = joined()
    return [
        f'MODEL_CONFIG "{name}": a batch of {settings.models[name].batch_size} pictures is too small for '
        f'{processes.count} processes, which need two each. Raise "batch_size", or start fewer processes.'
        for name in settings.models
        if name in models and settings.models[name].batch_size < processes.fewest
    ]


def _first_row(settings: Settings, model: str) -> ModelRow:
    """The row whose weights are asked for: that of the pretraining, where the network begins with one."""
    name = settings.pretraining_of(model)
    return settings.models[model] if name is None else starting_row(settings, model, name)


def _missing_package(settings: Settings, models: Iterable[str]) -> str | None:
    """What to install where a pretraining without labels is asked for and its package is not here."""
    used = [settings.pretrainings[name] for model in models if (name := settings.pretraining_of(model)) is not None]
    if all(row.method == SUPERVISED for row in used) or find_spec("lightly") is not None:
        return None
    from fer.pretraining.methods import MISSING

    return MISSING


def _shape_problems(settings: Settings, models: Iterable[str]) -> list[str]:
    """Options these networks have not, and sides in pixels that do not go through them."""
    from fer.study.network_check import row_problems

    rows = {name: settings.models[name] for name in models}
    return [
        text
        for name, row in rows.items()
        for text in row_problems(name, row, settings.training_of(name), settings.classes)
    ]


def _was_trained(settings: Settings, model: str) -> bool:
    """Whether a finished run of this very network and tag lies here."""
    row = settings.models[model]
    for folder in (settings.output_path / "saved_models").glob(f"*__{model}__*"):
        stored = read_run_json(folder)
        if stored is not None and row.weights_file is None:
            hyper = stored["inputs"]["hyper"]
            tag = fetched_tag(row, settings.training_of(model).pretrained)
            same = hyper["weights"] == tag if pretraining_of(tag) is None else pretraining_of(hyper["weights"])
            if same and hyper["architecture"] == architecture_of(model, row):
                return True
    return False


def _device_problem(device: str) -> str | None:
    if device in ("auto", "cpu"):
        return None  # always there; torch, which would know, takes seconds to import
    try:
        pick_device(device)
    except InputError as error:
        return str(error)
    return None


def _file_problem(settings: Settings, model: str) -> str | None:
    file = settings.models[model].weights_file
    if not settings.training_of(model).pretrained or file is None or settings.resolve(file).is_file():
        return None
    return f'MODEL_CONFIG "{model}": weights_file {settings.resolve(file)} does not exist.'


# ---------------------------------------------------------------- weights to fetch


def _weights_problem(settings: Settings, models: Iterable[str]) -> str | None:
    """One sentence for all pretrained weights that are neither here nor to be fetched."""
    rows = {name: _first_row(settings, name) for name in models}
    tags = {
        (architecture_of(name, row), fetched_tag(row, settings.training_of(name).pretrained))
        for name, row in rows.items()
    }
    sources = {weights_source(architecture, tag) for architecture, tag in tags if tag is not None}
    missing = sorted((source for source in sources if not source.here), key=lambda source: source.name)
    failed = try_all({source.url for source in missing})
    lost = [source for source in missing if source.url in failed]
    if not lost:
        return None
    reasons = dict.fromkeys(failed[source.url] for source in lost)
    return str(UnavailableWeightsError([source.name for source in lost], "; ".join(reasons)))


def try_all(urls: Collection[str]) -> dict[str, str]:
    """Try every address once, all at the same time; returns {address that cannot be reached: why}."""
    why = dict.fromkeys(urls, f"no answer within {LONGEST_WAIT:.0f} seconds")

    def note(url: str) -> None:
        why[url] = _try(url)

    # Threads that do not answer in time are left behind: a daemon does not keep the program from ending.
    threads = [Thread(target=note, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    end = time.monotonic() + LONGEST_WAIT
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
    return {url: reason for url, reason in why.copy().items() if reason}


def _try(url: str) -> str:
    """Why `url` gives no answer, or "". Any answer counts: whether a token opens a closed one shows in fetching."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE and url.startswith(constants.ENDPOINT):
        return "HF_HUB_OFFLINE is set"
    try:
        with urlopen(Request(url, method="HEAD"), timeout=SHORT_TRY):
            return ""
    except HTTPError:
        return ""
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__

"""Where trials are noted: Optuna's tables in a file of the output folder, or on a PostgreSQL server.

A server that does not answer when a search begins is named at once. One that goes away later is waited for: trainings
go on meanwhile, and what they found is noted when it is back. No message holds its password.
"""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fer.machine.extras import need_extra
from fer.settings.settings import Settings
from utils import InputError, lock_in, log, read_json, without_password, write_json

if TYPE_CHECKING:
    from optuna import Study as Trials
    from optuna.storages import RDBStorage

ANSWER = 5  # seconds a server has to answer
WAITED_FOR = 600.0  # seconds for a server that went away
PAUSE = 3.0  # seconds between two tries
T = TypeVar("T")


def search_folder(output: Path) -> Path:
    """Where a search leaves what it finds."""
    return output / "search"


def place_of(settings: Settings) -> str:
    """Where the trials are noted, in words."""
    stored = settings.search_storage
    return str(search_folder(settings.output_path) / "trials.db") if stored is None else without_password(stored)


def connect(settings: Settings) -> RDBStorage:
    """The storage of SEARCH_STORAGE. Raises InputError where the extra is missing, or the server does not answer."""
    need_extra("search", "optuna", *(["psycopg"] if settings.search_storage else []))
    import optuna
    from sqlalchemy.exc import ArgumentError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    search_folder(settings.output_path).mkdir(parents=True, exist_ok=True)
    refused: tuple[type[Exception], ...] = (*storage_errors(), ArgumentError, RuntimeError)
    try:
        with lock_in(settings.output_path, "search_tables"):  # two workers started together would both make them
            return optuna.storages.RDBStorage(_address(settings), engine_kwargs=_engine(settings))
    except refused as error:  # RuntimeError: tables of another Optuna
        raise InputError(
            f"SEARCH_STORAGE: {place_of(settings)} cannot be used: {_reason(error)}. Start the server, correct the "
            "address, or write None for a file in the output folder."
        ) from None  # its traceback would hold the password


def open_trials(settings: Settings, storage: RDBStorage, key: str) -> Trials:
    """The trials of the search `key`, noted from now on where they are not yet.

    Raises InputError where their runs lie in another output folder, or the storage went away.
    """
    import optuna

    def opened() -> Trials:
        return optuna.create_study(storage=storage, study_name=f"fer-{key}", direction="maximize", load_if_exists=True)

    with lock_in(settings.output_path, "search_tables"):
        trials = patiently(opened, settings)
        _refuse_other_folder(trials, settings)
    return trials


def _address(settings: Settings) -> str:
    if settings.search_storage is None:
        return f"sqlite:///{(search_folder(settings.output_path) / 'trials.db').as_posix()}"
    return "postgresql+psycopg://" + settings.search_storage.split("://", 1)[1]


def _engine(settings: Settings) -> dict[str, object]:
    """SQLite: how long a worker waits for another's note; a server: how long for its answer, and a fresh connection."""
    if settings.search_storage is None:
        return {"connect_args": {"timeout": 60}}
    return {"connect_args": {"connect_timeout": ANSWER}, "pool_pre_ping": True}


def _refuse_other_folder(trials: Trials, settings: Settings) -> None:
    """Workers see by locks in the output folder which trials are being worked on, so it has to be one folder."""
    path = search_folder(settings.output_path) / "folder.json"
    if not path.is_file():
        write_json(path, {"id": uuid.uuid4().hex})
    own = read_json(path)["id"]
    if trials.user_attrs.get("folder", own) != own:
        raise InputError(
            f"{place_of(settings)} holds this very search, and its runs lie in another output folder "
            f"({trials.user_attrs.get('place', 'unknown')}). Workers of one search share OUTPUT_DIR: name that folder "
            "here, or take another database."
        )
    if "folder" not in trials.user_attrs:
        trials.set_user_attr("place", str(settings.output_path))
        trials.set_user_attr("folder", own)


def storage_errors() -> tuple[type[Exception], ...]:
    """What Optuna raises where its tables cannot be reached."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    return StorageInternalError, SQLAlchemyError


def _reason(error: BaseException) -> str:
    """The first line of what the database itself says."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return without_password(lines[0]).rstrip(".")


def patiently(action: Callable[[], T], settings: Settings) -> T:
    """What `action` returns, tried again while the storage does not answer. Raises InputError after WAITED_FOR."""
    began, announced = time.monotonic(), False
    while True:
        try:
            return action()
        except storage_errors() as error:
            if time.monotonic() - began > WAITED_FOR:
                raise InputError(
                    f"SEARCH_STORAGE: {place_of(settings)} went away and did not come back: {_reason(error)}. Every "
                    "run so far is kept; when it answers, the same command continues the search."
                ) from None
            if not announced:
                log.warning("%s does not answer (%s); trying again", place_of(settings), _reason(error))
            announced = True
        time.sleep(PAUSE)


def once(action: Callable[[], T], settings: Settings, otherwise: T) -> T:
    """What `action` returns; `otherwise`, with a warning, where the storage does not answer just now."""
    try:
        return action()
    except storage_errors() as error:
        log.warning("%s does not answer (%s); asked again after the next epoch", place_of(settings), _reason(error))
        return otherwise

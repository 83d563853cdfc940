"""The command line at its edges: first contact, Ctrl-C, errors of the file system, text of users, terminals."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import fer.settings.settings
import fer.study.preflight
import main as program
from fer.console.terminal import console
from fer.settings.settings import PROJECT, Settings, check_settings, load_settings
from utils import InputError, remove_partial_files

LINE = "run the same command again"
POSIX = pytest.mark.skipif(os.name == "nt", reason="signals and descriptors of POSIX")


@pytest.fixture
def fresh_clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project folder without datasets or results; the code itself is this one."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "config.py").write_text((PROJECT / "config.py").read_text())
    monkeypatch.setattr(fer.settings.settings, "PROJECT", tmp_path)
    monkeypatch.setattr(fer.study.preflight, "_try", lambda _: "")  # every server answers, and none is asked
    return tmp_path


def study_of(settings: Settings, path: Path) -> Path:
    path.write_text("\n".join(f"{name} = {value!r}" for name, value in settings.describe().items()) + "\n")
    return path


def started(*arguments: str, **how: Any) -> subprocess.Popen:
    command = [sys.executable, str(PROJECT / "main.py"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **how)


# ---------------------------------------------------------------- first contact


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["--check", "--plan", "--audit", "--report", "--no-train"])
def test_only_a_plain_run_chooses_the_demo(asked: str, fresh_clone: Path, capsys: Any) -> None:
    assert program.main([asked]) == 2
    said = "".join(capsys.readouterr())
    assert "SAMPLE FACES" not in said and "demo.py" not in said
    assert ("RAF-DB" in said) or asked == "--report"
    assert not (fresh_clone / "saidas" / "demo").exists()


@pytest.mark.slow
def test_a_plain_run_chooses_the_demo(fresh_clone: Path) -> None:
    assert program.choose_config(program.parse_arguments(["--set", "EPOCHS=3"])) == program.DEMO
    assert program.choose_config(program.parse_arguments(["--export", "a.zip"])) is None
    assert program.choose_config(program.parse_arguments(["--verify", "a"])) is None


@pytest.mark.slow
def test_a_report_of_the_working_folder_is_not_of_the_output_folder(
    fresh_clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(fresh_clone)
    assert program.main(["--report", "."]) == 2
    assert ". holds no study" in capsys.readouterr().err
    assert program.main(["--report"]) == 2
    assert f"{fresh_clone / 'saidas'} holds no study" in capsys.readouterr().err


@pytest.mark.slow
def test_check_ends_with_the_next_command(
    tiny_settings: Callable[..., Settings], tmp_path: Path, fresh_clone: Path, capsys: Any
) -> None:
    assert program.main(["--check"]) == 2
    assert capsys.readouterr().out.splitlines()[-1].endswith("python main.py --check (on drawn sample faces: "
                                                             "python main.py --demo)")  # fmt: skip
    study = study_of(tiny_settings(), tmp_path / "my study.py")
    assert program.main(["--check", "--config", str(study), "--set", "EPOCHS=3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: python main.py --config '{study}' --set EPOCHS=3"


def test_check_does_not_miss_sample_faces_that_a_run_will_draw(
    tiny_settings: Callable[..., Settings], tmp_path: Path, capsys: Any
) -> None:
    row = {"path": str(tmp_path / "drawn" / "studio"), "layout": "rafdb", "faces": "cropped", "sample": True}
    study = study_of(tiny_settings().model_copy(update={"datasets": {}}), tmp_path / "study.py")
    study.write_text(study.read_text() + f"DATASETS = {{'studio': {row}}}\nACTIVE_DATASETS = ('studio',)\n")
    text = study.read_text().splitlines()
    study.write_text("\n".join(line for line in text if line != "DATASETS = {}" and "'alpha'" not in line))
    assert program.main(["--check", "--config", str(study)]) == 0
    assert "not drawn yet" in capsys.readouterr().out


def test_a_folder_in_another_case_is_proposed(tiny_settings: Callable[..., Settings], tmp_path: Path) -> None:
    from fer.data.readers import missing_datasets
    from fer.settings.settings import DatasetRow

    (tmp_path / "raf-db").mkdir()
    row = DatasetRow(path="RAF-DB", layout="rafdb", faces="whole")
    (problem,) = missing_datasets({"rafdb": (row, tmp_path / "RAF-DB")})
    assert 'does not exist. Did you mean "raf-db"? To get it' in problem


@pytest.mark.slow
def test_without_the_environment_one_line_says_how_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(PROJECT / "main.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "lacks torch" in done.stderr and "pip install -r" in done.stderr and "uv run main.py" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("delay", [0.3, 0.8, 1.6])
def test_ctrl_c_in_the_first_seconds_is_one_line(
    delay: float, tiny_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    study = study_of(tiny_settings(EPOCHS=2000, PATIENCE=None), tmp_path / "study.py")
    process = started("--config", str(study))
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 130
    assert said.count(LINE) == 1 and "Traceback" not in said


@pytest.mark.slow
@POSIX
def test_ctrl_c_that_nobody_answers_ends_the_process_all_the_same(tmp_path: Path) -> None:
    """A library that computes for long, swallows the exception, or waits for its workers."""
    code = (
        "import time, sys; from fer.console.interrupt import leave_on_ctrl_c, raise_on_ctrl_c\n"
        "leave_on_ctrl_c(); raise_on_ctrl_c()\n"
        "try: print('ready', flush=True); time.sleep(60)\n"
        "except BaseException: pass\n"
        "while True:\n    try: time.sleep(60)\n    except BaseException: pass\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=10)[1]
    assert process.returncode == 130
    assert said.count(LINE) == 1 and "Traceback" not in said


@pytest.mark.slow
@POSIX
def test_ctrl_c_while_workers_start_leaves_none_and_says_one_line(
    tiny_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    code = (
        "import time, sys, multiprocessing\n"
        "from fer.console.interrupt import leave_on_ctrl_c, raise_on_ctrl_c, children_without_ctrl_c\n"
        "if __name__ == '__main__':\n"
        "    leave_on_ctrl_c(); raise_on_ctrl_c()\n"
        "    stop = multiprocessing.get_context('spawn').Event()\n"
        "    with children_without_ctrl_c():\n"
        "        worker = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(60,)); worker.start()\n"
        "    try: print(worker.pid, flush=True); worker.join()\n"
        "    except BaseException: pass\n"
        "    while True:\n        try: worker.join()\n        except BaseException: pass\n"
    )
    script = tmp_path / "script.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n{code}")
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True)  # fmt: skip
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=10)[1]
    assert process.returncode == 130
    assert said.splitlines() == [said.strip()] and LINE in said
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE


# ---------------------------------------------------------------- the file system outside a run


@pytest.mark.parametrize("asked", ["--plan", "--audit", "--check"])
def test_errors_of_the_file_system_are_messages_with_path_and_fix(
    asked: str, tiny_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "out" / ".partial-x.csv"))

    for name in ("open_study", "print_check"):
        monkeypatch.setattr(program, name, refused)
    study = study_of(tiny_settings(), tmp_path / "study.py")
    assert program.main([asked, "--config", str(study)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'out'}: Read-only file system. That disk can only be read." in said


def test_a_file_where_the_output_folder_should_be_is_named(
    tiny_settings: Callable[..., Settings], tmp_path: Path, capsys: Any
) -> None:
    study = study_of(tiny_settings(OUTPUT_DIR=str(tmp_path / "file" / "out")), tmp_path / "study.py")
    (tmp_path / "file").write_text("")
    assert program.main(["--plan", "--config", str(study)]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_a_message(tiny_settings: Callable[..., Settings], tmp_path: Path) -> None:
    study = study_of(tiny_settings(), tmp_path / "study.py")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, str(PROJECT / "main.py"), "--check", "--config", str(study)],
                              stdout=full, stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert done.returncode == 2
    assert "standard output takes nothing more" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@POSIX
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(closed: str, tiny_settings: Callable[..., Settings], tmp_path: Path) -> None:
    study = study_of(tiny_settings(), tmp_path / "study.py")
    command = f"'{sys.executable}' '{PROJECT / 'main.py'}' --plan --config '{study}' {closed}"
    assert subprocess.run(["sh", "-c", command]).returncode == 0


def test_partial_files_that_vanish_meanwhile_are_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".partial-a", ".partial-b"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, 0))
    stat = Path.stat

    def vanishing(path: Path, **how: Any) -> os.stat_result:
        if path.name == ".partial-a":
            path.unlink(missing_ok=True)
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", vanishing)
    remove_partial_files(tmp_path)
    assert not (tmp_path / ".partial-b").exists()


# ---------------------------------------------------------------- text of users


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "word"),
    [("a\0b", "zero bytes"), ("x" * 256, "256 bytes"), ("~nosuchuser/data", "no such user"), ("a\udcffb", "UTF-8")],
)
@pytest.mark.parametrize("name", ["OUTPUT_DIR", "DATASETS_DIR"])
def test_paths_no_file_system_takes_are_named(name: str, path: str, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        check_settings({name: path})
    assert name in str(caught.value)


def test_brackets_of_users_are_text(capsys: Any) -> None:
    console().print("a path [/bold] with [red]brackets[/red] :smile:")
    assert capsys.readouterr().out == "a path [/bold] with [red]brackets[/red] :smile:\n"


def test_check_prints_brackets_in_paths(tiny_settings: Callable[..., Settings], tmp_path: Path, capsys: Any) -> None:
    study = study_of(tiny_settings(OUTPUT_DIR=str(tmp_path / "[/bold]x")), tmp_path / "study.py")
    assert program.main(["--check", "--config", str(study)]) == 0
    assert "[/bold]x" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.slow
def test_a_terminal_of_ascii_gets_replacements(tiny_settings: Callable[..., Settings], tmp_path: Path) -> None:
    folder = tmp_path / "saídas ± …"
    study = study_of(tiny_settings(OUTPUT_DIR=str(folder)), tmp_path / "study.py")
    done = subprocess.run([sys.executable, str(PROJECT / "main.py"), "--check", "--config", str(study)],
                          capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "sa?das+/-..." in "".join(done.stdout.decode("ascii").split())


# ---------------------------------------------------------------- files of settings


@pytest.mark.parametrize("line", ["import sys; sys.exit()", "quit(3)", "raise SystemExit"])
def test_a_config_that_ends_the_program_is_a_message(line: str, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(f"EPOCHS = 3\n{line}\n")
    with pytest.raises(InputError, match="ends the program"):
        load_settings(tmp_path / "study.py")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["1" + "+1" * 90_000, "-" * 90_000 + "1", "(" * 90_000 + ")" * 90_000])
def test_an_expression_nested_too_deep_is_a_message(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(f"EPOCHS = {text}\n")
    with pytest.raises(InputError, match=r"too deep|too many nested"):
        load_settings(tmp_path / "study.py")
    with pytest.raises(InputError):
        load_settings(None, [f"EPOCHS={text}"])

"""From the datasets on disk to results: `python main.py`. The stages, in order, and the command line."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if __name__ == "__main__":  # before the imports that take a second
    from fer.console.interrupt import leave_on_ctrl_c

    leave_on_ctrl_c()

# OpenMP threads that wait spin by default, and on a computer that does anything else they then keep each other
# from working: small_residual at 48 px beside one busy process ran at 106 images/s, and at 184 with this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from fer.console.arguments import HERE, parse_arguments
from fer.console.installed import how_to_install
from fer.console.interrupt import EXIT_CODE, STOPPED, leave, raise_on_ctrl_c

try:
    from fer.console.terminal import file_problem, prepare_streams, stdout_problem
    from fer.data.readers import missing_datasets
    from fer.machine.processes import hush, join
    from fer.settings.settings import PROJECT, Settings, load_settings
    from fer.study.disk_need import needed_space, refuse_full_disk, space_of_pictures
    from fer.study.execution import execute, write_study
    from fer.study.grid import GridPoint, added_runs, grid_points, idle_axes
    from fer.study.inspection import print_check, print_plan, refuse_bad_output
    from fer.study.label_noise import write_label_noise
    from fer.study.plan import Study, describe_idle, needed_runs, open_study, planned_runs
    from fer.study.preflight import problems_before_start, refuse_impossible
    from fer.study.shards import Shard, parse_shard, share_of
    from fer.study.speed import speed_book
    from utils import (
        DiskFullError,
        InputError,
        log,
        remove_partial_files,
        start_logging,
        warn_once,
        without_password,
    )  # fmt: skip
except ImportError as error:
    lack = how_to_install(error)
    if lack is None or __name__ != "__main__":
        raise
    sys.stderr.write(f"{lack}\n")
    sys.exit(2)

if TYPE_CHECKING:
    from fer.audit.audit import AuditFindings
    from fer.runs.run import PlannedRun

DEMO = PROJECT / "studies" / "demo.py"
DEMO_COMMAND = "python main.py --demo"
DEMO_PICTURES = 900  # drawn for both sample sets together: enough to learn from, few enough for three minutes


def run_study(settings: Settings, train: bool = True, shard: Shard | None = None) -> int:
    """Samples, runs, predictions, tables, figures. Returns the exit code: 0, or 1 when a run failed.

    With a `shard`, only its share of the runs is done; tables and figures are left to the last of the shards.
    """
    output = settings.output_path
    refuse_bad_output(output)
    start_logging(output / f"execution_log_{datetime.now():%Y-%m-%d_%H-%M-%S}.txt")
    remove_partial_files(output)

    study = open_study_of(settings, problems_before_start(settings) if train else [])
    runs, points, every = plan_of(study)
    if train:
        refuse_impossible(settings, every)
        refuse_full_disk(needed_space(study, every, speed_book(settings, measure=False)))
    audit(study)
    write_study(study, runs, points)
    print_plan(study, every, only_summary=True)
    from fer.figures.draw import draw_picture_figures
    from fer.report.live_page import LivePage

    share = every if shard is None else share_of(every, shard)
    with LivePage(output, settings.plot_format, partial(write_study, study, runs, points)) as page:
        failures = execute(study, share, train, page)
    if shard is not None and not all(planned.finished for planned in every):
        return _farewell_of_shard(shard, share, every, failures)
    write_study(study, runs, points)
    write_label_noise(study)

    report(
        output,
        settings.plot_format,
        partial(draw_picture_figures, study, runs, settings.plot_format, settings.figures),
        settings.figures,
    )
    if settings.tensorboard:
        from fer.report.events import write_events

        write_events(output)
    return _farewell(every, failures, train)


def run_search(settings: Settings, train: bool = True) -> int:
    """Trials of SEARCH, chosen by validation, and the report of the chosen one. Returns 0, or 1 when a trial failed."""
    from fer.figures.draw import draw_picture_figures
    from fer.search.files import chosen_words
    from fer.search.forecast import search_lines
    from fer.search.storage import connect
    from fer.search.tables import write_search
    from fer.search.worker import idle_axes, open_book, search

    output = settings.output_path
    refuse_bad_output(output)
    start_logging(output / f"execution_log_{datetime.now():%Y-%m-%d_%H-%M-%S}.txt")
    remove_partial_files(output)
    storage = connect(settings)  # before pictures are read: a server that does not answer is told at once
    study = open_study_of(settings, problems_before_start(settings) if train else [])
    for line in search_lines(settings):
        log.info("%s", line)
    warn_once(output / "cache" / "warned.json", filter(None, [idle_axes(study)]))
    book = open_book(study, storage)
    audit(study)
    if train:
        search(study, book)
    chosen = write_search(study, book)
    if chosen is None:
        log.error("SEARCH: no trial is complete, so there is nothing to choose from")
        return 1
    write_study(chosen.study, chosen.runs)
    draw = partial(draw_picture_figures, chosen.study, chosen.runs, settings.plot_format, settings.figures)
    report(output, settings.plot_format, draw, settings.figures)
    log.info("chosen: %s. %s", chosen.words, chosen_words(chosen.facts))
    log.info("its test score, and other seeds: python main.py --config %s", output / "search" / "chosen.py")
    return 1 if chosen.facts["counts"].get("failed") else 0


def prepare(settings: Settings) -> int:
    """The data block alone: read, audit, find faces, prepare, pack, draw the data. Needs no network, and no weights."""
    from fer.figures.draw import draw_picture_figures
    from fer.study.preparation import prepare_pictures

    output = settings.output_path
    refuse_bad_output(output)
    start_logging(output / f"execution_log_{datetime.now():%Y-%m-%d_%H-%M-%S}.txt")
    remove_partial_files(output)
    study = open_study_of(settings)
    runs, points, every = plan_of(study)
    refuse_full_disk(space_of_pictures(study, every))
    audit(study)
    write_study(study, runs, points)
    prepare_pictures(study, every)
    draw = partial(draw_picture_figures, study, runs, settings.plot_format, settings.figures)
    report(output, settings.plot_format, draw, settings.figures)
    log.info("every picture of %d runs is prepared and packed", len(every))
    return 0


def plan_of(study: Study) -> tuple[list[PlannedRun], list[GridPoint], list[PlannedRun]]:
    """The runs of the study, the points of its GRID, and all runs together."""
    runs = planned_runs(study)
    points = grid_points(study, runs)
    warn_once(study.settings.output_path / "cache" / "warned.json", filter(None, [idle_axes(points)]))
    added = added_runs(study, runs, points)
    return runs, points, [*needed_runs(study, [*runs, *added]), *runs, *added]


def open_study_of(settings: Settings, problems: Sequence[str] = ()) -> Study:
    """Read all active datasets; stops before any work when one is missing, or over `problems` found before."""
    draw_samples(settings)
    problems = [*problems, *missing_datasets(active_datasets(settings))]
    if problems:
        raise InputError(problems)
    study = open_study(settings)
    notes = [note for data in study.datasets.values() for note in data.notes]
    warn_once(settings.output_path / "cache" / "warned.json", filter(None, [describe_idle(settings), *notes]))
    return study


def audit(study: Study) -> AuditFindings | None:
    """Copies, conflicts, poor pictures, class mixes, shipped attributes: in saidas/audit/ and samples/, once.

    None when it failed: that is reported, and stops nothing.
    """
    from fer.audit.audit import audit_or_report

    return audit_or_report(study.datasets, study.settings)


def active_datasets(settings: Settings) -> dict:
    """Row and folder of every active dataset, and of those that pretrainings alone learn from."""
    rows = {name: settings.datasets[name] for name in (*settings.active_datasets, *settings.pretraining_datasets)}
    return {name: (row, settings.resolve(row.path)) for name, row in rows.items()}


def report(
    output: Path,
    plot_format: str,
    draw_pictures: Callable[[], object] | None = None,
    which: Literal["key", "all"] = "key",
) -> None:
    """Tables, statistics, figures, the page and the summary: pure functions of what lies in the output folder.

    `draw_pictures` draws the figures that show faces of the datasets, where these are at hand; `which` is FIGURES.
    """
    from fer.figures.draw import draw_figures
    from fer.findings.findings import write_findings
    from fer.report.page import write_report
    from fer.report.paper_tables import write_paper_tables
    from fer.report.summary import print_summary
    from fer.results.study_files import read_study
    from fer.results.tables import write_funnel, write_tables
    from fer.statistics.comparisons import write_statistics
    from fer.statistics.grid import write_grid

    results, _ = write_tables(output)
    write_funnel(output, read_study(output).datasets)
    write_statistics(output)
    write_grid(output)
    paper_tables = write_paper_tables(output, results)  # after the statistics, which say what is bold
    findings = write_findings(output)
    draw_figures(output, plot_format, which)
    if draw_pictures is not None:
        draw_pictures()
    page = write_report(output, paper_tables)
    print_summary(output, findings, page)


def report_from(source: Path, settings: Settings) -> int:
    """Make tables, figures and the report again from an output folder, or from an exported study (.zip).

    A study from a file lies in a folder of its own under OUTPUT_DIR; nothing is written beside the file.
    """
    if source.suffix.lower() == ".zip":
        from fer.results.archive import unpacked

        source = unpacked(source, settings.output_path / "archives")
    report(source, settings.plot_format, which=settings.figures)
    return 0


def verify(name: str, settings: Settings) -> int:
    """Train a finished run again and compare. Returns 0 when it is the same bit for bit, else 1."""
    from fer.study.verify import verify_run

    found = verify_run(name, settings)
    for sentence in found.sentences():
        log.info("%s", sentence)
    return 0 if found.identical else 1


def export(settings: Settings, target: Path) -> int:
    """Write the study without pictures and weights to one file."""
    from fer.results.archive import export_study

    count = export_study(settings.output_path, target)
    log.info("%d files in %s. Elsewhere: python main.py --report %s", count, target, target.name)
    return 0


def draw_samples(settings: Settings) -> None:
    """Draw the embedded sample datasets where an active row marked as sample data is not there yet."""
    wanted = {
        settings.resolve(settings.datasets[name].path)
        for name in (*settings.active_datasets, *settings.pretraining_datasets)
        if settings.datasets[name].sample
    }
    if wanted:
        from fer.sample_faces.datasets import write_sample_datasets

        for folder in {path.parent for path in wanted}:
            write_sample_datasets(folder, pictures=DEMO_PICTURES)


def _farewell_of_shard(shard: Shard, share: list, runs: list, failures: dict[str, str]) -> int:
    log.info(
        "shard %s: %d of the plan's %d runs are its share. Not all others are finished: the shard that ends last, or "
        "python main.py --no-train, makes tables and figures", shard, len(share), len(runs),
    )  # fmt: skip
    return _farewell(share, failures, train=True)


def _farewell(runs: list, failures: dict[str, str], train: bool) -> int:
    unfinished = [planned.name for planned in runs if not planned.finished and planned.name not in failures]
    if unfinished and not train:
        log.warning("--no-train: %d runs have no weights yet:\n  %s", len(unfinished), "\n  ".join(unfinished))
    for name, problem in failures.items():
        log.error("failed: %s: %s", name, problem)
    return 1 if failures else 0


# ---------------------------------------------------------------- command line


def choose_config(arguments: argparse.Namespace) -> Path | None:
    """The settings file: the one named, the demo's, or config.py (None).

    An empty datasets/ means the demo, for a plain run alone: whoever asks for something asks about config.py.
    """
    if arguments.demo:
        return DEMO
    if arguments.config is not None or not _is_plain(arguments) or not _no_datasets(arguments.set):
        return arguments.config
    log.warning(
        "%s\n  datasets/ is empty and no --config was given: running the demo on drawn SAMPLE FACES.\n"
        '  Results go to saidas/demo/. For real data see the README, section "Your data".\n%s',
        "=" * 88,
        "=" * 88,
    )
    return DEMO


def _is_plain(arguments: argparse.Namespace) -> bool:
    """True for a whole run: nothing on the command line but values."""
    asked = {name: value for name, value in vars(arguments).items() if name not in ("config", "set", "demo")}
    return all(value in (None, False) for value in asked.values())


def _no_datasets(overrides: list[str]) -> bool:
    settings = load_settings(None, overrides)
    folder = settings.datasets_path
    empty = not folder.is_dir() or not any(not child.name.startswith(".") for child in folder.iterdir())
    return empty and not any(root.exists() for _, root in active_datasets(settings).values())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 1 a run failed, 2 something to mend, 130 Ctrl-C)."""
    output = Path()
    try:
        raise_on_ctrl_c()
        prepare_streams()
        arguments = parse_arguments(argv)
        start_logging()
        hush()
        settings = load_settings(choose_config(arguments), arguments.set)
        output = settings.output_path
        code = join(settings.device).lead(partial(_do, arguments, settings))
        sys.stdout.flush()
        return code
    except InputError as error:
        log.error("Nothing that was finished is lost. To mend:\n- %s", "\n- ".join(error.problems))
        return 2
    except ImportError as error:
        lack = how_to_install(error)
        if lack is None:
            raise
        log.error("%s", lack)
        return 2
    except DiskFullError as error:
        log.error("%s. What is finished is kept: free some space and run the same command again.", error)
        return 1
    except OSError as error:
        unprinted = stdout_problem() if error.filename is None else None  # a stream has no path
        log.error("%s", unprinted or file_problem(error, output))
        return 2
    except KeyboardInterrupt:
        log.warning(STOPPED)
        return EXIT_CODE


def check(arguments: argparse.Namespace, settings: Settings) -> int:
    """Say what is there and what is not; the last line is the command to give next. Returns 0 or 2."""
    active = active_datasets(settings)
    code = print_check(settings, active)
    if settings.search:
        from fer.search.forecast import search_lines

        print("\n".join(search_lines(settings)))
    trial = "" if any(root.exists() for _, root in active.values()) else f" (on drawn sample faces: {DEMO_COMMAND})"
    print(f"next: mend this, then {_command(arguments, '--check')}{trial}" if code else f"next: {_command(arguments)}")
    return code


def _command(arguments: argparse.Namespace, *more: str) -> str:
    """The command line of a whole run with the same config and values, with `more` behind it."""
    config = ["--config", str(arguments.config)] if arguments.config else []
    demo = ["--demo"] if arguments.demo else []
    values = [part for value in arguments.set for part in ("--set", without_password(value))]
    return shlex.join(["python", "main.py", *demo, *config, *values, *more])


def _do(arguments: argparse.Namespace, settings: Settings) -> int:
    """What the command line asks for; returns the exit code."""
    if arguments.models is not None:
        from fer.networks.catalogue import model_lines

        print("\n".join(model_lines(arguments.models or None)))
        return 0
    if arguments.download:
        from fer.data.download import download_or_explain

        return download_or_explain(arguments.download, settings)
    if arguments.check:
        return check(arguments, settings)
    if arguments.audit:
        from fer.audit.audit import print_audit

        findings = audit(open_study_of(settings))
        if findings is not None:
            print_audit(findings)
        return 0 if findings is not None else 1
    if arguments.plan:
        study = open_study_of(settings, problems_before_start(settings))
        if settings.search:
            from fer.search.forecast import log_search_plan

            log_search_plan(study)
            return 0
        _, _, runs = plan_of(study)
        refuse_impossible(settings, runs)
        print_plan(study, runs)
        refuse_full_disk(needed_space(study, runs, speed_book(settings, measure=False)))
        return 0
    if arguments.prepare:
        return prepare(settings)
    if arguments.report is not None:
        own = arguments.report is HERE
        return report_from(settings.output_path if own else arguments.report, settings)
    if arguments.compare is not None:
        from fer.report.settings_compared import compare_runs

        compare_runs(settings.output_path, settings.primary_metric, arguments.compare)
        return 0
    if arguments.verify:
        return verify(arguments.verify, settings)
    if arguments.export:
        return export(settings, arguments.export)
    shard = None if arguments.shard is None else parse_shard(arguments.shard)
    if settings.search and shard is not None:
        raise InputError("--shard deals out a plan, and a search has none. Start the same command several times.")
    if settings.search:
        return run_search(settings, not arguments.no_train)
    return run_study(settings, not arguments.no_train, shard)


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:  # while one of its last words was written
        leave()
    if code == EXIT_CODE:
        leave(say=False)  # workers and libraries that would first finish what they do are not waited for
    sys.exit(code)

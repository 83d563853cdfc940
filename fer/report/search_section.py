"""The search in the report: what was chosen among how many, the row for config.py, tables of trials and settings."""

from __future__ import annotations

from dataclasses import replace

from fer.findings.finding import metric_words
from fer.report.table_formats import Block, Column, PaperTable, Row, number_cell, text_cell
from fer.search.files import StoredSearch, chosen_words
from fer.settings.grid import words_of


def search_answer(found: StoredSearch) -> str:
    """One sentence: the values, their score, among how many, how optimistic."""
    return f"Chosen: {found.facts['chosen']['words']}: {chosen_words(found.facts)}."


def search_sentences(found: StoredSearch) -> list[str]:
    """How it was searched, and the chosen values as they stand in config.py."""
    facts, optimism = found.facts, found.facts["optimism"]
    counts = ", ".join(f"{count} {state}" for state, count in facts["counts"].items())
    said = [
        f"{facts['looked_at']} trials of {facts['wanted']} wanted: {counts}. Suggested by TPE and ended early by the "
        "median, both by validation; no test set was read by the search.",
        *(f"In config.py: {line}" for line in facts["chosen"]["lines"]),
        "As a study file: python main.py --config …/search/chosen.py. Its test score is the first that "
        "the search has not seen.",
    ]
    if facts["repeats"]:
        said.append(f"{facts['repeats']} suggestions repeated a trial and cost nothing; they are not counted.")
    if optimism is not None:
        said.append(
            f"Optimism by {optimism['method']}: the choice among {optimism['trials']} complete trials was made "
            f"again on {optimism['resamples']} draws of the validation faces (n = {optimism['rows']:,}, related ones "
            f"together) and scored on those not drawn: {optimism['corrected']:.3f} on average, {optimism['drop']:.3f} "
            f"below the chosen score. {100 * optimism['same']:.0f} % of the draws choose the same trial. Trials ended "
            "early take no part in this."
        )
    return said


def search_tables(found: StoredSearch) -> list[PaperTable]:
    """Trials by score, and settings by importance."""
    return [_trials_table(found), *([_importances_table(found)] if len(found.importances) else [])]


def _trials_table(found: StoredSearch) -> PaperTable:
    metric = metric_words(found.facts["metric"])
    columns = (
        Column("values"), Column("state"), Column(f"validation {metric}", is_number=True),
        Column("epochs", is_number=True), Column("minutes", is_number=True), Column("trial", is_number=True),
    )  # fmt: skip
    rows = []
    ordered = found.trials.sort_values("validation_score", ascending=False, kind="stable")
    for one in ordered.to_dict("records"):
        score = replace(number_cell(one["validation_score"], digits=3), best=bool(one["chosen_by_validation"]))
        counts = number_cell(one["epochs"], digits=0), number_cell(one["minutes"]), number_cell(one["trial"], digits=0)
        values = text_cell(words_of({name: one[name] for name in found.axes}))
        rows.append(Row((values, text_cell(one["state"]), score, *counts)))
    caption = (
        "Sorted by validation; bold is what validation chooses. It was chosen on these very faces, so its score is too "
        "good; of trials ended early, the score they had reached."
    )
    return PaperTable("search_trials", "Trials", caption, columns, (Block("", tuple(rows)),))


def _importances_table(found: StoredSearch) -> PaperTable:
    columns = Column("setting"), Column("importance", is_number=True), Column("trials", is_number=True)
    rows = tuple(
        Row((text_cell(one["setting"]), number_cell(one["importance"], digits=2), number_cell(one["trials"], digits=0)))
        for one in found.importances.to_dict("records")
    )
    return PaperTable("search_importances", "Importance of the settings (fANOVA)", "", columns, (Block("", rows),))

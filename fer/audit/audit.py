"""The audit of the data: copies and leaks, conflicting labels, doubtful pictures, class mixes, known counts.

`audit_or_load` runs it once per state of the samples and leaves these files in saidas/audit/:

| file | holds |
|---|---|
| audit.json | every count, the thresholds, the datasets' notes; written last: there, the audit is whole |
| copies.csv | kind (exact, near), group, sample_id, dataset, split, label, in_use, similarity (to the nearest) |
| near_pairs.csv | two rows of different pictures that are near copies: sample ids, similarity, mirrored, … |
| <name>_quality.csv | sample_id, split, label, width, height, brightness, contrast, sharpness, flag |
| class_mix.csv, class_mix_distances.csv | shares per dataset and split, distances between them |
| *.png | contact sheets: conflicting labels, near copies across splits and within, flagged pictures |
| left_out.json, failed.txt | what of the audit failed: sentences for the report, tracebacks; absent where nothing did |

Exact copies are counted in every readable row, also those that left training for being copies; near copies, quality
and class mix in the rows in use. Where identical rows are in use, one of them stands for all in near_pairs.csv.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from fer.audit.class_mix import class_mix, mix_distances
from fer.audit.contact_sheets import draw_sheets
from fer.audit.exact_copies import count_exact, count_exact_between, exact_copies
from fer.audit.near_copies import COPY, NEAR_COPIES_VERSION, find_near_copies, make_thumbnails
from fer.audit.quality import QUALITY_SIDE, QUALITY_THRESHOLDS, QUALITY_VERSION, flag_counts, measure_quality
from fer.columns.files import AUDIT_COPIES
from fer.console.terminal import console as new_console
from fer.data.attributes import write_attributes
from fer.data.samples import DatasetSamples
from fer.faces.packs import PackPixels, pack_or_load
from fer.layouts.emotions import ALL_EMOTIONS
from fer.settings.settings import Settings
from utils import InputError, file_fingerprint, log, read_csv, read_sealed, write_json, write_sealed, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

# Raise when the files would be others for the same samples.
AUDIT_VERSION = 2
PAIR_SIDES = ["sample_id", "dataset", "split", "label"]
TEXT_COLUMNS = [f"{name}{end}" for name in PAIR_SIDES[:3] for end in ("", "_left", "_right")]
TEXT_COLUMNS += ["kind", "left", "right", "flag"]
LEAKS = ("test in train", "val in train", "val in test")
TABLES = ("copies", "near_pairs", "class_mix", "class_mix_distances")


@dataclass(frozen=True)
class AuditFindings:
    """What the audit found: `counts` is what audit.json holds, the tables are those of the files (see above).

    `quality` maps each dataset to its table.
    """

    counts: dict[str, Any]
    copies: pd.DataFrame
    near_pairs: pd.DataFrame
    class_mix: pd.DataFrame
    class_mix_distances: pd.DataFrame
    quality: dict[str, pd.DataFrame]


def audit_or_report(datasets: dict[str, DatasetSamples], settings: Settings) -> AuditFindings | None:
    """The audit, and the attributes the datasets ship; None when the audit failed. Never stops a study.

    Whatever fails is logged, and named in audit/left_out.json for the report.
    """
    problems: dict[str, str] = {}
    for name, data in datasets.items():
        _attempt(
            f"attributes of {name}",
            partial(write_attributes, settings.output_path, name, data.root, data.samples),
            problems,
        )
    findings = _attempt("audit", partial(audit_or_load, datasets, settings), problems)
    folder = settings.output_path / "audit"
    if findings is None:
        (folder / "audit.json").unlink(missing_ok=True)  # an older one would be shown as that of these samples
    if problems:
        write_json(folder / "left_out.json", list(problems))
        write_text(folder / "failed.txt", "\n".join(problems.values()))
    else:
        for name in ("left_out.json", "failed.txt"):
            (folder / name).unlink(missing_ok=True)
    return findings


def _attempt(what: str, do: Callable[[], T], problems: dict[str, str]) -> T | None:
    try:
        return do()
    except InputError as error:  # a file of a format not known here, say: its words are enough
        said = f"{what}: left out ({'; '.join(error.problems)})"
        log.warning("%s. The study goes on without it.", said)
        problems[f"{said}."] = str(error)
        return None
    except Exception as error:  # whatever it is: the audit only looks at the data, training does not need it
        said = f"{what}: failed ({type(error).__name__}: {error})"
        log.error("%s. The study goes on without it; more in audit/failed.txt.", said)
        problems[f"{said}. Run main.py --audit to try it again."] = traceback.format_exc()
        return None


def audit_or_load(datasets: dict[str, DatasetSamples], settings: Settings) -> AuditFindings:
    """The audit of these samples, from saidas/audit/ when it was made for the very same ones.

    Otherwise it is made, written with its contact sheets, and summed up in the log.
    """
    folder = settings.output_path / "audit"
    key = audit_key(datasets)
    known = read_audit(folder, list(datasets))
    if known is not None and known.counts["key"] == key:
        return known
    findings = audit_datasets(datasets, settings)
    (folder / "audit.json").unlink(missing_ok=True)
    draw_sheets(findings.copies, findings.near_pairs, findings.quality, datasets, folder)
    write_audit(findings, settings.output_path)
    for line in summary(findings):
        log.info("audit: %s", line)
    return findings


def audit_datasets(datasets: dict[str, DatasetSamples], settings: Settings) -> AuditFindings:
    """Audit all datasets together. Packs of 48-pixel pictures go to saidas/cache/packed/."""
    return audit_packed(datasets, {name: _small_pictures(data, settings) for name, data in datasets.items()})


def audit_packed(datasets: dict[str, DatasetSamples], packs: Mapping[str, np.ndarray | PackPixels]) -> AuditFindings:
    """Audit all datasets together, given the pictures in use of each: gray uint8 [N, S, S, 1], S at most 48."""
    quality = {name: measure_quality(data.samples, packs[name]) for name, data in datasets.items()}
    every = pd.concat([_every_row(data) for data in datasets.values()], ignore_index=True)
    used = every[every["in_use"]].reset_index(drop=True)
    thumbnails = np.concatenate([make_thumbnails(packs[name]) for name in datasets])
    pairs, rows = near_pairs(used, thumbnails)
    copies = pd.concat([exact_copies(every), near_groups(pairs, rows)], ignore_index=True)
    counts = {
        "key": audit_key(datasets),
        "thresholds": {"near_copy": COPY, **QUALITY_THRESHOLDS},
        "sample_data": {name: data.row.sample for name, data in datasets.items()},
        "datasets": {
            name: {
                "exact": count_exact(every[every["dataset"] == name]),
                "near": count_near(pairs, rows, name),
                "quality": flag_counts(quality[name]),
                "unexpected_counts": unexpected_counts(data),
                "notes": list(data.notes),
            }
            for name, data in datasets.items()
        },
        "exact_across_datasets": count_exact_between(every),
        "near_across_datasets": _count_near_across(rows, "dataset"),
    }
    learned = used.assign(label=np.concatenate([data.samples["label"] for data in datasets.values()]))
    return AuditFindings(counts, copies, pairs, class_mix(learned), mix_distances(learned), quality)


def _small_pictures(data: DatasetSamples, settings: Settings) -> PackPixels:
    """uint8 [N, S, S, 1] of the rows in use, S at most QUALITY_SIDE; the pack is that of all splits and policies.

    Small gray faces are packed like this for variant raw as well: they are decoded once for both.
    """
    side = min(QUALITY_SIDE, data.largest_side)
    folder = settings.output_path / "cache" / "packed"
    pack = pack_or_load(data.unsettled, data.root, side, True, folder, f"{data.name}__raw")
    return pack.open(pd.Index(data.unsettled["sample_id"]).get_indexer(pd.Index(data.samples["sample_id"])))


def _every_row(data: DatasetSamples) -> pd.DataFrame:
    """Rows in use, in their order, then the other readable ones: READABLE (labels as delivered), dataset, in_use."""
    rows = data.readable
    in_use = np.arange(len(rows)) < len(data.samples)
    return rows.assign(dataset=data.name, in_use=in_use)


# ---------------------------------------------------------------- near copies of rows


def near_pairs(used: pd.DataFrame, thumbnails: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Near copies among rows in use with their thumbnails [N, 32, 32], in the same order.

    Returns the pairs of different faces (near_pairs.csv), and the pairs of rows behind them, both ways round:
    the columns of `used` with endings _left and _right, similarity, mirrored.
    """
    first = used.drop_duplicates("face")
    found = find_near_copies(thumbnails[first.index])
    sides = {side: first.iloc[found[side]].reset_index(drop=True) for side in ("left", "right")}
    pairs = pd.concat(
        [
            pd.DataFrame({"left": sides["left"]["sample_id"], "right": sides["right"]["sample_id"]}),
            found[["similarity", "mirrored"]].round({"similarity": 4}),
            *(sides[side][PAIR_SIDES[1:]].add_suffix(f"_{side}") for side in sides),
        ],
        axis=1,
    )
    edges = pairs[["similarity", "mirrored"]].assign(face_left=sides["left"]["face"], face_right=sides["right"]["face"])
    swapped = edges.rename(columns={"face_left": "face_right", "face_right": "face_left"})
    rows = pd.concat([edges, swapped], ignore_index=True)
    for side in sides:
        rows = rows.merge(used.add_suffix(f"_{side}"), on=f"face_{side}")
    return pairs, rows


def near_groups(pairs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """AUDIT_COPIES of all rows with a near copy; a group is a connected component of pairs."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    columns = {f"{name}_left": name for name in (*PAIR_SIDES, "in_use")}
    best = rows.groupby("sample_id_left")["similarity"].max()
    table = rows.drop_duplicates("sample_id_left").rename(columns=columns).sort_values("sample_id")
    place = pd.Series(range(len(table)), index=table["sample_id"])
    edges = place[rows["sample_id_left"]].to_numpy(), place[rows["sample_id_right"]].to_numpy()
    graph = coo_matrix((np.ones(len(rows), bool), edges), shape=(len(table), len(table)))
    group = pd.factorize(connected_components(graph, directed=False)[1])[0]
    table = table.assign(kind="near", group=group, similarity=best[table["sample_id"]].to_numpy())
    return table.sort_values(["group", "sample_id"], ignore_index=True)[list(AUDIT_COPIES)]


def count_near(pairs: pd.DataFrame, rows: pd.DataFrame, name: str) -> dict[str, Any]:
    """Near copies inside one dataset: pairs, mirrored, conflicting (labels differ), across splits, rows, across.

    `pairs` of different contents, `rows` the pairs of rows behind them; "test in train" under `across` is how many
    test rows in use have a near copy in training.
    """
    own = pairs[(pairs["dataset_left"] == name) & (pairs["dataset_right"] == name)]
    inside = rows[(rows["dataset_left"] == name) & (rows["dataset_right"] == name)]
    return {
        "pairs": len(own),
        "mirrored_pairs": int(own["mirrored"].sum()),
        "conflicting_pairs": int((own["label_left"] != own["label_right"]).sum()),
        "pairs_across_splits": int((own["split_left"] != own["split_right"]).sum()),
        "rows": int(inside["sample_id_left"].nunique()),
        "across": _count_near_across(inside, "split"),
    }


def _count_near_across(rows: pd.DataFrame, part: str) -> dict[str, int]:
    """ "a in b": rows of part a that have a near copy in part b, for the parts where there are any."""
    apart = rows[rows[f"{part}_left"] != rows[f"{part}_right"]]
    counts = apart.groupby([f"{part}_left", f"{part}_right"])["sample_id_left"].nunique()
    return {" in ".join(map(str, parts)): int(count) for parts, count in zip(counts.index, counts, strict=True)}


# ---------------------------------------------------------------- known counts


def unexpected_counts(data: DatasetSamples) -> list[dict[str, Any]]:
    """Where readable rows differ from the dataset's known counts: split, emotion, found, known.

    Splits made here are counted with the official one they were carved from ("" where there is none).
    """
    known = data.expected or {}
    if not known.keys() & {"", "test"}:
        return []  # a test set carved here came from more than one of its splits
    rows, lines = data.readable, []
    for split, counts in known.items():
        parts = [part for part in rows["split"].unique() if part == split or (part not in known and split != "test")]
        found = rows.loc[rows["split"].isin(parts), "label"].value_counts()
        for label, emotion in enumerate(ALL_EMOTIONS):
            n, known_n = int(found.get(label, 0)), counts.get(emotion, 0)
            line = {"split": split, "emotion": emotion, "found": n, "known": known_n}
            lines += [line] if line["found"] != line["known"] else []
    return lines


# ---------------------------------------------------------------- files


def audit_key(datasets: dict[str, DatasetSamples]) -> str:
    """32 hex digits over versions, and over each row's sample_id, split, face and labels, in use or not."""
    versions = [AUDIT_VERSION, NEAR_COPIES_VERSION, QUALITY_VERSION]
    digest = hashlib.blake2b(repr(versions).encode(), digest_size=16)
    for name, data in datasets.items():
        rows = data.readable
        digest.update(repr((name, len(data.samples), data.row.sample, data.notes)).encode())
        for column in ("sample_id", "split", "face"):
            digest.update("\0".join(rows[column].to_list()).encode() + b"\n")
        for labels in (rows["label"], data.samples["label"]):
            digest.update(labels.to_numpy(np.int64).tobytes())
    return digest.hexdigest()


def write_audit(findings: AuditFindings, output: Path) -> None:
    """Write the tables of `findings` to `output`/audit/, audit.json last."""
    folder = output / "audit"
    tables = {name: getattr(findings, name) for name in TABLES}
    tables |= {f"{name}_quality": table for name, table in findings.quality.items()}
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
    files = {name: file_fingerprint(folder / name) for name in _files(list(findings.quality))}
    write_sealed(folder / "audit.json", findings.counts | {"files": files})


def read_audit(folder: Path, names: list[str]) -> AuditFindings | None:
    """The audit of the datasets `names` in `folder`, or None when there is none that can be read."""
    if not (folder / "audit.json").is_file():
        return None
    try:
        counts = read_sealed(folder / "audit.json")
        seals = counts.pop("files")
        changed = [name for name in _files(names) if file_fingerprint(folder / name) != seals[name]]
        if changed:
            raise ValueError(f"{', '.join(changed)} changed since it was written")
        tables = {name: _read_table(folder / f"{name}.csv") for name in TABLES}
        quality = {name: _read_table(folder / f"{name}_quality.csv") for name in names}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the audit in %s cannot be used (%s: %s); it is made again.", folder, type(error).__name__, error)
        return None
    return AuditFindings(counts, **tables, quality=quality)


def _files(names: list[str]) -> list[str]:
    """The tables of the audit of the datasets `names`."""
    return [*(f"{name}.csv" for name in TABLES), *(f"{name}_quality.csv" for name in names)]


def _read_table(path: Path) -> pd.DataFrame:
    """A table of the audit; text stays text, also where a dataset is called 1 or null."""
    table = read_csv(path, TEXT_COLUMNS)
    return table.fillna({column: "" for column in TEXT_COLUMNS if column in table})


# ---------------------------------------------------------------- in words


def summary(findings: AuditFindings) -> list[str]:
    """What was found, a few sentences for each dataset."""
    lines = (
        [f"{name}{' (SAMPLE DATA)' if findings.counts['sample_data'][name] else ''}: {line}" for line in _lines(found)]
        for name, found in findings.counts["datasets"].items()
    )
    between = [
        f"{kind} copies across datasets: {_listed(findings.counts[f'{kind}_across_datasets'])}"
        for kind in ("exact", "near")
        if any(findings.counts[f"{kind}_across_datasets"].values())
    ]
    return [*chain.from_iterable(lines), *between]


def _lines(found: dict[str, Any]) -> list[str]:
    exact, near, quality = found["exact"], found["near"], found["quality"]
    flags = {flag: count for flag, count in quality.items() if flag != "rows"}
    lines = [
        f"{exact['distinct']} distinct pictures in {exact['rows']} readable rows; {exact['groups']} groups of "
        f"identical ones, {exact['conflicting_groups']} of them with conflicting labels",
        f"rows with an identical picture in another split: {_listed(exact['across'], LEAKS) or 'none'}",
        f"near copies in use: {near['pairs']} pairs ({near['conflicting_pairs']} with other labels, "
        f"{near['pairs_across_splits']} across splits); rows with one in another split: "
        f"{_listed(near['across'], LEAKS) or 'none'}",
        f"doubtful pictures: {_listed(flags) or 'none'}",
    ]
    if found["unexpected_counts"]:
        lines.append(f"{len(found['unexpected_counts'])} class counts differ from the known ones")
    return lines


def _listed(counts: dict[str, int], names: Iterable[str] | None = None) -> str:
    """The counts above 0, of `names` or of all."""
    return ", ".join(f"{counts[name]} {name}" for name in (names or counts) if counts.get(name))


def print_audit(findings: AuditFindings) -> None:
    """Print the summary and the class mixes."""
    from rich.table import Table

    console = new_console()
    for line in summary(findings):
        console.print(line)
    mix = Table(title="share of each class, rows in use")
    for column in map(str, findings.class_mix):
        mix.add_column(column, justify="left" if column in ("dataset", "split") else "right")
    for dataset, split, count, *shares in findings.class_mix.itertuples(index=False):
        mix.add_row(dataset, split, str(count), *(f"{share:.3f}" for share in shares))
    console.print(mix)
    apart = Table(title="how far two class mixes lie apart (total variation 0 to 1)")
    for column in ("left", "right", "total variation", "Cramér's V", "p"):
        apart.add_column(column, justify="left" if column in ("left", "right") else "right")
    for row in findings.class_mix_distances.to_dict("records"):
        figures = f"{row['total_variation']:.3f}", f"{row['cramers_v']:.3f}", f"{row['p']:.2g}"
        apart.add_row(row["left"], row["right"], *figures)
    if len(findings.class_mix_distances):
        console.print(apart)

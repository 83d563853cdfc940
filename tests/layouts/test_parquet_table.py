"""Promises about dataset repositories of Hugging Face: parquet files as the hub ships them."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from layout_trees import problem, read, reasons, row_of
from PIL import Image

from fer.data.decoding import decode_all
from fer.data.download import download
from fer.data.readers import fitting_layouts, read_dataset
from fer.layouts import parquet_rows
from fer.layouts.pictures import UnreadablePicture, open_picture, picture_file
from fer.settings.settings import EMOTIONS
from utils import InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["Anger", "contempt", "Happiness", "sad"]  # a hub dataset's own names and order


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((10, 12), level, dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def shard(
    file: Path, labels: list[Any], start: int = 0, *, image: str = "image", label: str = "label",
    names: list[str] | None = NAMES, group: int = 100, pictures: list[bytes | None] | None = None, **more: list[Any],
) -> Path:  # fmt: skip
    """Written as `push_to_hub` writes it: a struct of bytes and path, groups of 100 rows, features in the metadata."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shown = pictures or [png(start + row) for row in range(len(labels))]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": data, "path": f"{row}.png"} for row, data in enumerate(shown)]
    table = pa.table({image: pa.array(cells, struct), label: labels, **more})
    features = {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, file, row_group_size=group)
    return file


def found(root: Path, **values: Any) -> dict[str, tuple[str, str, int]]:
    """Path to expression, split, and gray level of the picture that opens under it."""
    rows = read(root, "parquet", **values).samples.to_dict("records")
    return {
        row["path"]: (EMOTIONS[row["label"]], row["split"], int(np.asarray(open_picture(root, row["path"]))[0, 0]))
        for row in rows
    }


def test_a_repository_as_the_hub_ships_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\ndataset_info: …\n---")
    shard(tmp_path / "data" / "train-00000-of-00002.parquet", [0, 2, None], 10)
    shard(tmp_path / "data" / "train-00001-of-00002-6f0d1a.parquet", [3, 1, 2], 20)
    shard(tmp_path / "data" / "validation-00000-of-00001.parquet", [3], 30)
    shard(tmp_path / "data" / "test-00000-of-00001.parquet", [2, -1], 40)
    assert found(tmp_path) == {
        "data/train-00000-of-00002.parquet#0": ("angry", "train", 10),
        "data/train-00000-of-00002.parquet#1": ("happy", "train", 11),
        "data/train-00001-of-00002-6f0d1a.parquet#0": ("sad", "train", 20),
        "data/train-00001-of-00002-6f0d1a.parquet#2": ("happy", "train", 22),
        "data/validation-00000-of-00001.parquet#0": ("sad", "val", 30),
        "data/test-00000-of-00001.parquet#0": ("happy", "test", 40),
    }
    listing = read(tmp_path, "parquet")
    assert listing.notes == []
    rejected = dict(zip(listing.rejected["path"], listing.rejected["reason"], strict=True))
    assert rejected.pop("data/train-00000-of-00002.parquet#2") == "it has no label"
    assert rejected.pop("data/test-00000-of-00001.parquet#1") == "it has no label"
    assert "label 'contempt' is not one of" in rejected.pop("data/train-00001-of-00002-6f0d1a.parquet#1")
    assert not rejected
    contempt = read(tmp_path, "parquet", classes={"contempt": "disgust"})
    assert len(contempt.samples) == 7
    assert [key for key, _ in fitting_layouts(tmp_path)] == ["pictures", "parquet"]


def test_a_repository_is_fetched_by_name_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(repo: str, local_dir: Path, **options: Any) -> str:
        assert repo == "owner/name"
        shard(local_dir / "data" / "train-00000-of-00001.parquet", [0, 2], 10)
        (local_dir / ".gitattributes").write_text("*.parquet filter=lfs")
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    download("mine", row_of("parquet", source="huggingface:owner/name"), tmp_path / "mine")
    assert [level for _, _, level in found(tmp_path / "mine").values()] == [10, 11]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_tree_the_hub_converts_others_into(tmp_path: Path) -> None:
    shard(tmp_path / "default" / "train" / "0000.parquet", [0], 10)
    shard(tmp_path / "default" / "train" / "0001.parquet", [2], 20)
    shard(tmp_path / "default" / "test" / "0000.parquet", [3], 30)
    shard(tmp_path / "default" / "partial-test" / "0000.parquet", [3], 40)  # the hub's mark for the first part of more
    assert found(tmp_path) == {
        "default/train/0000.parquet#0": ("angry", "train", 10),
        "default/train/0001.parquet#0": ("happy", "train", 20),
        "default/test/0000.parquet#0": ("sad", "test", 30),
    }


@pytest.mark.parametrize(
    ("files", "splits", "words"),
    [
        (["train-00000-of-00001"], [""], "both sets are taken from all rows"),
        (["faces"], [""], "both sets are taken from all rows"),
        (["train", "valid"], ["train", "val"], "no test set"),
        (["my_train_v2", "my_test_v2"], ["test", "train"], ""),
    ],
)
def test_splits_are_the_official_ones(tmp_path: Path, files: list[str], splits: list[str], words: str) -> None:
    for name in files:
        shard(tmp_path / f"{name}.parquet", [0])
    listing = read(tmp_path, "parquet")
    assert sorted(listing.samples["split"]) == splits
    assert words in "\n".join(listing.notes) and bool(words) == bool(listing.notes)


def test_a_split_of_another_name_is_not_trained_on(tmp_path: Path) -> None:
    for name in ("train", "test", "holdout"):
        shard(tmp_path / f"{name}.parquet", [0])
    listing = read(tmp_path, "parquet")
    assert listing.samples["path"].to_list() == ["test.parquet#0", "train.parquet#0"]
    assert "the name of its file has none of train" in reasons(listing)


def test_a_test_file_without_labels_is_no_test_set(tmp_path: Path) -> None:
    shard(tmp_path / "train.parquet", [0, 2])
    shard(tmp_path / "test.parquet", [-1, -1])
    listing = read(tmp_path, "parquet")
    assert set(listing.samples["split"]) == {""}
    assert (listing.rejected["split"] == "test").all() and len(listing.rejected) == 2


@pytest.mark.parametrize(("labels", "written"), [([3, 0, None], "int"), ([3.0, 0.0, float("nan")], "float")])
def test_numbers_without_names_need_a_numbering(tmp_path: Path, labels: list[Any], written: str) -> None:
    shard(tmp_path / "t.parquet", labels, names=None, label="emotion")
    assert [row[0] for row in found(tmp_path, classes="fer2013").values()] == ["happy", "angry"]
    assert "label '3' is not one of angry" in problem(tmp_path, "parquet")


def test_words_as_labels_plain_bytes_and_named_columns(tmp_path: Path) -> None:
    table = pa.table({"face": [png(1), png(2)], "whole": [png(3), png(4)], "mood": ["Joy", " sad"], "who": [7, 8]})
    pq.write_table(table, tmp_path / "t.parquet")
    columns = {"path": "whole", "label": "mood", "subject": "who"}
    assert found(tmp_path, columns=columns) == {
        "t.parquet#whole#0": ("happy", "", 3), "t.parquet#whole#1": ("sad", "", 4),
    }  # fmt: skip
    assert read(tmp_path, "parquet", columns=columns).samples["subject"].to_list() == ["7", "8"]
    words = problem(tmp_path, "parquet")
    assert "pictures in several columns (face, whole), no column with labels" in words
    assert "face, whole, mood, who" in words and '"columns": {"path"' in words
    assert 'no column "moood"' in problem(tmp_path, "parquet", columns={**columns, "label": "moood"})
    assert 'no pictures in its column "who"' in problem(tmp_path, "parquet", columns={**columns, "path": "who"})
    assert 'layout "parquet" has path, label, subject' in problem(tmp_path, "parquet", columns={"left": "who"})


def test_sounds_are_no_pictures(tmp_path: Path) -> None:
    file = shard(tmp_path / "t.parquet", [0])
    table = pq.read_table(file)
    noted = {"info": {"features": {"image": {"_type": "Audio"}, "tags": [{"_type": "Value"}]}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(noted)}), file)
    assert "no column with pictures" in problem(tmp_path, "parquet")


def test_broken_pictures_cost_their_own_row(tmp_path: Path) -> None:
    shard(tmp_path / "t.parquet", [0, 2, 2, 3], pictures=[png(1), b"no picture", None, png(4)[:-25]])
    rows = read(tmp_path, "parquet").samples
    good, bad = decode_all(rows, tmp_path)
    assert good["path"].to_list() == ["t.parquet#0"]
    told = bad["reason"].to_list()
    assert ["not a picture" in told[0], told[1], "decoded" in told[2] or "truncated" in told[2]] == [
        True, "the row holds no picture", True,
    ]  # fmt: skip
    with pytest.raises(UnreadablePicture, match="only 4 rows"):
        open_picture(tmp_path, "t.parquet#4")


def test_files_that_are_no_tables_are_named(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    words = problem(tmp_path, "parquet")
    assert "train.parquet is no whole parquet file" in words and "without LFS" in words
    whole = shard(tmp_path / "train.parquet", [0]).read_bytes()
    (tmp_path / "train.parquet").write_bytes(whole[:-20])
    assert "is no whole parquet file" in problem(tmp_path, "parquet")


def test_a_damaged_part_of_a_table_costs_its_rows_only(tmp_path: Path) -> None:
    noise = [np.random.default_rng(row).bytes(400) for row in range(4)]
    file = shard(tmp_path / "t.parquet", [0, 0, 2, 2], group=2, pictures=[*noise[:2], png(1), png(2)])
    data = bytearray(file.read_bytes())
    start = pq.ParquetFile(file).metadata.row_group(0).column(0).data_page_offset
    data[start : start + 40] = b"\xff" * 40
    file.write_bytes(bytes(data))
    good, bad = decode_all(read(tmp_path, "parquet").samples, tmp_path)
    assert good["path"].to_list() == ["t.parquet#2", "t.parquet#3"]
    assert bad["reason"].str.startswith("its row cannot be read: ").all() and len(bad) == 2


def test_each_group_of_rows_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(tmp_path / "t.parquet", [0] * 120, group=10)
    asked: list[int] = []
    read_group = pq.ParquetFile.read_row_group

    def counted(self: Any, group: int, *args: Any, **options: Any) -> Any:
        asked.append(group)
        return read_group(self, group, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    parquet_rows._kept.clear()
    good, _ = decode_all(read(tmp_path, "parquet").samples, tmp_path)
    assert sorted(asked) == list(range(12))
    shown = [hashlib.blake2b(np.asarray(open_picture(tmp_path, path)).tobytes()).digest() for path in good["path"]]
    wanted = [hashlib.blake2b(np.full((10, 12), row, dtype=np.uint8).tobytes()).digest() for row in range(120)]
    assert shown == wanted  # each picture under its own row, in the order of the file


def test_a_table_written_anew_is_read_anew(tmp_path: Path) -> None:
    shard(tmp_path / "t.parquet", [0], 10)
    assert [level for _, _, level in found(tmp_path).values()] == [10]
    shard(tmp_path / "t.parquet", [0, 0], 20)
    assert [level for _, _, level in found(tmp_path).values()] == [20, 21]


def test_the_file_of_a_row() -> None:
    assert picture_file("data/a.parquet#07") == picture_file("data/a.parquet#img#07") == "data/a.parquet"


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(tmp_path / "t.parquet", [0])
    monkeypatch.setattr("fer.machine.extras.find_spec", lambda module: None)
    with pytest.raises(InputError, match="uv sync --extra parquet"):
        read_dataset("mine", row_of("parquet"), tmp_path)

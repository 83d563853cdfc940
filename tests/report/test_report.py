"""Promises about report.html: complete and honest whatever is there, and it works in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_study import FakeStudy
from PIL import Image

from fer.report.facts import left_out, run_states
from fer.report.page import write_report
from fer.report.paper_tables import write_paper_tables
from fer.results.study_files import read_study
from fer.results.tables import write_tables
from fer.runs.run import run_lock
from utils import InputError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
COUNTS = {"train": (4, 2, 3, 9, 5, 3, 6), "val": (1,) * 7, "test": (4, 3, 3, 9, 5, 3, 6)}
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")


def make_study(output: Path, **parts: Any) -> FakeStudy:
    return FakeStudy(output, **{"class_counts": COUNTS, "tta": ("none",), **parts})


def draw_figures(output: Path) -> None:
    """Two pictures where figures lie, wider than a thumbnail."""
    for name in ("confusion_matrices/studio_tiny_cm", "learning_curves/studio__tiny"):
        path = output / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (900, 700), "teal").save(path)


def report_on(output: Path) -> str:
    results, _ = write_tables(output)
    write_paper_tables(output, results)
    return write_report(output).read_text()


# ---------------------------------------------------------------- what it says


def test_states_of_runs_done_running_failed_interrupted_and_to_do(tmp_path: Path) -> None:
    study = make_study(tmp_path, train_on=(("studio",),), seeds=(1, 2, 3, 4, 5, 6), finished=False)
    runs = study.plan()
    study.finished = True
    study.seeds = (1,)
    study.write()
    study.seeds = (1, 2, 3, 4, 5, 6)
    study.finished = False
    study.write()
    for planned in runs[1:5]:
        planned.folder.mkdir(parents=True)
    (runs[1].folder / "history.csv").write_text("epoch,val_loss\n1,2\n2,1.5\n")
    (runs[2].folder / "failed.txt").write_text("Traceback\nValueError: loss is not finite <at> epoch 3\n")
    (runs[3].folder / "checkpoint.pth").write_bytes(b"half-way")
    Path(run_lock(runs[4].folder).lock_file).touch()  # left by a process that died
    with run_lock(runs[1].folder):
        found = run_states(read_study(tmp_path))
        page = report_on(tmp_path)
    assert [one.state for one in found] == ["done", "running", "failed", "interrupted", "to do", "to do"]
    assert found[1].note == "2 epochs so far"
    assert found[2].note == "ValueError: loss is not finite <at> epoch 3"
    assert "ValueError: loss is not finite &lt;at&gt; epoch 3" in page
    assert "The study is not complete" in page


@pytest.mark.slow
def test_top_says_data_protocol_machines_and_what_is_not_known(tmp_path: Path) -> None:
    study = make_study(tmp_path, train_on=(("studio",),), sample_data=("wild",), limit=30)
    page = report_on(tmp_path)
    assert "SAMPLE DATA" in page
    assert "drawn faces: wild" in page
    assert "LIMIT_PER_SPLIT = 30" in page
    assert "best on validation rows by macro_f1" in page
    assert "No run of this study chose its epoch on a test set" in page
    for missing in ("test_reads.csv is missing", "no usable audit/audit.json", "no usable statistics/statements.json",
                    "Whether test sets were scored is not recorded", "No figures are drawn yet"):  # fmt: skip
        assert missing in page
    run_json = study.plan()[0].folder / "run.json"
    stored = json.loads(run_json.read_text())
    stored["environment"] = {"cpu": "Fast & Co", "packages": {"torch": "9.9"}}
    stored["run"]["selection"] = "oracle"
    run_json.write_text(json.dumps(stored))
    (tmp_path / "test_reads.csv").write_text("test_on,run,first_scored\nwild,a,2026-01-01\nwild,b,2026-01-02\n")
    page = report_on(tmp_path)
    assert "Fast &amp; Co" in page
    assert "9.9" in page
    assert "1 ORACLE runs chose their epoch on the test set" in page
    assert "runs scored on it" in page


SCRIPT = "<img src=x onerror=document.title=1>"


def test_text_with_html_in_it_stays_text(tmp_path: Path) -> None:
    planned = make_study(tmp_path, train_on=(("studio",),), finished=False).plan()[0]
    planned.folder.mkdir(parents=True)
    (planned.folder / "failed.txt").write_text(f"Traceback\nValueError: {SCRIPT}\n")
    (tmp_path / "left_out.json").write_text(json.dumps([SCRIPT]))
    draw_figures(tmp_path)
    shutil.copyfile(tmp_path / "confusion_matrices/studio_tiny_cm.png", tmp_path / f"confusion_matrices/{SCRIPT}.png")
    page = report_on(tmp_path)
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") >= 3


@pytest.mark.parametrize("name", ["../out", "<script>", "/tmp/x", "a/b", "", "C:x"])
def test_names_that_are_no_names_are_refused(tmp_path: Path, name: str) -> None:
    """Names become parts of paths; a study can come from elsewhere."""
    make_study(tmp_path, train_on=(("studio",),))
    stored = json.loads((tmp_path / "study.json").read_text())
    for changed in (
        stored | {"runs": [name]},
        stored | {"counts": {name: {"test": 3}}},
        stored | {"predictions": {run: [item | {"file": name} for item in items]
                                  for run, items in stored["predictions"].items()}},
    ):  # fmt: skip
        (tmp_path / "study.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match=r"study\.json"):
            read_study(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "unknown"},
        {"model": "../../x"},
        {"train_on": ["a/b"]},
        {"seed": "1"},
        {"hyper": {}},
        {"split": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_whose_record_is_none_is_left_out_and_named(tmp_path: Path, change: dict[str, Any]) -> None:
    planned = make_study(tmp_path, train_on=(("studio",),), seeds=(1, 2)).plan()[0]
    path = planned.folder / "run.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"run": stored["run"] | change}))
    study = read_study(tmp_path)
    assert [run.name for run in study.runs] == [list(study.planned)[1]]
    assert any(f"{planned.name}/run.json" in reason for reason in left_out(study))


@pytest.mark.slow
def test_whatever_is_damaged_is_left_out_and_said(tmp_path: Path) -> None:
    study = make_study(tmp_path, train_on=(("studio",),), seeds=(1, 2, 3))
    first, second, third = study.plan()
    (first.folder / "run.json").write_text('{"run": ')
    predictions = next((second.folder / "predictions").glob("wild__test*"))
    predictions.write_bytes(predictions.read_bytes()[:100])
    history = third.folder / "history.csv"
    history.write_text(history.read_text().replace("0.001", "", 1))
    (second.folder / "history.csv").write_text("epoch\n")
    (tmp_path / "samples" / "wild_samples.csv").unlink()
    (tmp_path / "statistics").mkdir()
    (tmp_path / "statistics" / "statements.json").write_text("[")
    (tmp_path / "statistics" / "seeds.csv").write_text("")
    (tmp_path / "left_out.json").write_text(
        json.dumps(["a figure, since its file is gone", {"figure": "x", "why": "y"}])
    )
    page = report_on(tmp_path)
    reasons = " ".join(left_out(read_study(tmp_path)))
    for words in (f"{first.name}/run.json", predictions.name, f"{second.name}/history.csv", "without a value",
                  "wild_samples.csv", "a figure, since its file is gone", "x: y"):  # fmt: skip
        assert words in reasons
        assert words in page
    for words in ("statistics/statements.json cannot be read", "statistics/seeds.csv cannot be read"):
        assert words in page
    assert str(tmp_path) not in page, "no folder of this machine"


def test_one_class_only_is_still_reported(tmp_path: Path) -> None:
    counts = {"train": (9, 0, 0, 0, 0, 0, 0), "val": (3, 0, 0, 0, 0, 0, 0), "test": (5, 0, 0, 0, 0, 0, 0)}
    make_study(tmp_path, train_on=(("studio",),), class_counts=counts)
    assert "Tested on studio, 5 pictures" in report_on(tmp_path)


def test_page_needs_no_network_and_has_everything_beside_it(tmp_path: Path) -> None:
    make_study(tmp_path, train_on=(("studio",),))
    draw_figures(tmp_path)
    page = report_on(tmp_path)
    assert "http://" not in page
    assert "https://" not in page
    for part in page.split('="')[1:]:
        address = part.split('"')[0]
        if address.startswith(("report/", "confusion_matrices/", "tables/", "results.")):
            assert (tmp_path / address).is_file(), address


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def study_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("shown")
    make_study(output, models=("tiny", "other"), train_on=(("studio",), ("studio", "wild")), seeds=(1, 2))
    draw_figures(output)
    report_on(output)
    return output / "report.html"


def opened(browser: Browser, path: Path, **options: Any) -> tuple[Page, list[str]]:
    """The page in a new tab, and everything that went wrong in it: console messages, errors, failed requests."""
    page = browser.new_page(**options)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url)
    )
    page.goto(path.as_uri())
    return page, wrong


@pytest.mark.slow
@in_browser
def test_tables_sort_by_mouse_and_keyboard_within_their_block(browser: Browser, study_page: Path) -> None:
    page, wrong = opened(browser, study_page)
    block = page.locator("#results table").first.locator("tbody").first
    heading = page.locator("#results table").first.locator("thead tr").last.locator("th").nth(3)

    def column() -> list[str]:
        return [row.split("\t")[3] for row in block.inner_text().splitlines() if "\t" in row]

    heading.click()
    down = column()
    assert heading.get_attribute("aria-sort") == "descending"
    assert down[:-1] == sorted(down[:-1], key=lambda text: float(text.split(" ")[0]), reverse=True)
    heading.press("Enter")
    assert column() == [*down[:-1][::-1], down[-1]], "the baseline stays last"
    assert wrong == []


@pytest.mark.slow
@in_browser
def test_figures_are_lazy_open_large_and_close_with_escape(browser: Browser, study_page: Path) -> None:
    page, wrong = opened(browser, study_page)
    assert set(page.eval_on_selector_all("main img", "all => all.map(i => i.loading)")) == {"lazy"}
    link = page.locator("#results-figures a.glightbox").first
    link.scroll_into_view_if_needed()
    small = link.locator("img").bounding_box()
    link.press("Enter")
    large = page.locator(".gslide.loaded img")
    large.wait_for()
    page.wait_for_timeout(800)
    box = large.bounding_box()
    assert box is not None
    assert small is not None
    assert box["width"] > 1.5 * small["width"]
    page.keyboard.press("Escape")
    page.locator("#glightbox-body").wait_for(state="detached")
    assert wrong == []


@pytest.mark.slow
@in_browser
def test_titles_are_text_in_the_lightbox_too_and_no_script_of_the_page_runs(browser: Browser, tmp_path: Path) -> None:
    make_study(tmp_path, finished=False)
    draw_figures(tmp_path)
    shutil.copyfile(tmp_path / "confusion_matrices/studio_tiny_cm.png", tmp_path / f"confusion_matrices/{SCRIPT}.png")
    report_on(tmp_path)
    page, wrong = opened(browser, tmp_path / "report.html")
    page.locator("#results-figures a.glightbox").first.press("Enter")
    words = page.locator(".gslide.current .gslide-desc")
    words.wait_for()
    page.wait_for_timeout(500)
    assert words.inner_text().startswith("<img src=x")
    assert page.locator(".gslide-desc img").count() == 0
    assert wrong == []
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=document.title=1>')")
    page.wait_for_timeout(500)
    assert page.title() != "1", "the content security policy lets no inline script run"


@pytest.mark.slow
@in_browser
def test_dark_and_light_follow_the_system_and_the_switch(browser: Browser, study_page: Path) -> None:
    def brightness(page: Page) -> float:
        colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")) / 3

    for scheme, is_light in (("light", True), ("dark", False)):
        page, wrong = opened(browser, study_page, color_scheme=scheme)
        assert (brightness(page) > 128) == is_light
        page.get_by_role("button", name="Switch to").click()
        assert (brightness(page) > 128) != is_light
        page.reload()
        assert (brightness(page) > 128) != is_light, "the choice is remembered"
        assert wrong == []
        page.evaluate("localStorage.clear()")
        page.close()


@pytest.mark.slow
@in_browser
def test_nothing_is_wider_than_a_phone(browser: Browser, study_page: Path) -> None:
    page, wrong = opened(browser, study_page, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert wrong == []


@pytest.mark.slow
@in_browser
def test_page_without_a_run_opens(browser: Browser, tmp_path: Path) -> None:
    make_study(tmp_path, finished=False)
    report_on(tmp_path)
    page, wrong = opened(browser, tmp_path / "report.html")
    assert "No run is scored on a test set yet" in (page.text_content("#results") or "")
    assert wrong == []


@pytest.mark.slow
@in_browser
def test_two_hundred_runs_and_many_figures_load_only_what_is_seen(browser: Browser, tmp_path: Path) -> None:
    names = tuple(f"net{number}" for number in range(100))
    only = ("studio",)
    make_study(tmp_path, datasets=only, train_on=(only,), models=names, seeds=(1, 2), splits=("test",))
    draw_figures(tmp_path)
    for number in range(400):
        shutil.copyfile(tmp_path / "confusion_matrices" / "studio_tiny_cm.png",
                        tmp_path / "confusion_matrices" / f"{number}.png")  # fmt: skip
    report_on(tmp_path)
    page, wrong = opened(browser, tmp_path / "report.html")
    assert page.locator("#state .tile.done b").inner_text() == "200"
    assert page.locator("main img").count() == 402
    loaded = "all => all.filter(image => image.complete && image.naturalWidth).length"
    assert page.eval_on_selector_all("main img", loaded) < 40
    page.locator("#results-figures summary").first.click()
    page.locator("#results-figures img").last.scroll_into_view_if_needed()
    widths = []  # asked again and again from here: the page's own policy forbids a script that evaluates text
    while 900 not in widths and len(widths) < 200:
        widths.append(page.locator("#results-figures img").last.evaluate("image => image.naturalWidth"))
        page.wait_for_timeout(50)
    assert widths[-1] == 900
    assert wrong == []

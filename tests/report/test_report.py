"""Promises about report.html: complete and honest whatever is there, and it works in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from chromium import browser as browser  # the fixture
from chromium import in_browser
from fake_study import FakeStudy
from PIL import Image

from fer.findings.finding import Finding
from fer.findings.findings import write_findings
from fer.report.facts import left_out, run_states
from fer.report.page import write_report
from fer.report.page_figures import first_screen, page_figures
from fer.report.page_tables import table_of
from fer.report.paper_tables import write_paper_tables
from fer.results.study_files import read_study
from fer.results.tables import write_tables
from fer.runs.run import run_lock
from fer.statistics.comparisons import write_statistics
from utils import InputError, write_json

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COUNTS = {"train": (4, 2, 3, 9, 5, 3, 6), "val": (1,) * 7, "test": (4, 3, 3, 9, 5, 3, 6)}


def make_study(output: Path, **parts: Any) -> FakeStudy:
    return FakeStudy(output, **{"class_counts": COUNTS, "tta": ("none",), **parts})


def draw_figures(output: Path, **more: dict[str, Any]) -> None:
    """Pictures wider than a thumbnail, with their manifest; `more`: facts of further ones by name."""
    told = {"section": "results", "caption": "Look here.", "alt": "Dots.", "run": "", "is_key": True, "is_lead": False}
    figures = {
        "metrics/overview": {"is_lead": True},
        "metrics/more": {},
        "confusion_matrices/chosen": {"section": "errors", "is_lead": True},
        "statistics/compared_models": {"section": "statistics", "is_lead": True},
        "cost/score": {"section": "cost", "is_lead": True},
        "learning_curves/all": {"section": "training", "is_lead": True},
        **more,
    }
    for name in figures:
        path = output / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (900, 700), "teal").save(path)
    listed = {f"{name}.png": {**told, **facts, "fingerprint": "0"} for name, facts in figures.items()}
    write_json(output / "cache" / "figures.json", listed)


def find_all(output: Path) -> list[Finding]:
    """Tables, statistics and findings, of faces that are groups of their own."""
    for path in (output / "samples").glob("*_samples.csv"):
        samples, name = pd.read_csv(path), path.name.removesuffix("_samples.csv")
        tested = samples["split"] == "test"
        samples.loc[tested, "sample_id"] = [f"{name}/{number}" for number in range(tested.sum())]
        samples.assign(group=range(len(samples)), width=48, height=48).to_csv(path, index=False)
    write_tables(output)
    write_statistics(output)
    return write_findings(output)


ORDER = ("findings", "data", "protocol", "results", "errors", "training", "cost", "audit", "calibration", "groups",
         "statistics", "runs", "versions", "files")  # fmt: skip


@pytest.mark.slow
def test_findings_one_table_and_four_figures_come_first_then_the_sections_in_order(tmp_path: Path) -> None:
    make_study(tmp_path, seeds=(1, 2))
    draw_figures(tmp_path)
    findings = find_all(tmp_path)
    page = report_on(tmp_path)
    assert tuple(re.findall(r'<section id="(\w+)">', page)) == ORDER
    first = page[page.index('id="first"') : page.index('<section id="data">')]
    assert first.count("<li><b>") == len(findings) <= 12
    assert first.count("<table") == 1
    assert first.count("<figure") == 4
    assert first.index("<ol>") < first.index("<table") < first.index("<figure")
    assert {one.see for one in findings} <= set(ORDER), "every finding leads to a section"
    assert "majority" in first and "[" in first, "the chosen row stands beside the majority class, with its interval"
    for name in ORDER[1:]:
        section = page[page.index(f'<section id="{name}">') :]
        answer = re.search(r'<p class="answer">(.*?)</p>', section)
        assert answer and answer[1].strip().endswith("."), name


@pytest.mark.slow
def test_captions_and_alternative_texts_are_sentences_also_of_figures_from_before_there_were_any(
    tmp_path: Path,
) -> None:
    make_study(tmp_path)
    draw_figures(tmp_path, **{"mistakes/wild_from_studio__tiny_mistakes": {"caption": "", "alt": ""}})
    page = report_on(tmp_path)
    words = [*re.findall(r' alt="(.*?)"', page), *re.findall(r"<figcaption>(.*?)</figcaption>", page)]
    assert len(words) > 10
    for text in words:
        assert re.match(r"[A-Z].*\.$", text) and "_" not in text, text


def test_a_figure_too_tall_for_the_first_screen_gives_way_to_a_key_figure_of_its_section(tmp_path: Path) -> None:
    draw_figures(tmp_path)
    Image.new("RGB", (900, 1900), "teal").save(tmp_path / "metrics/overview.png")
    shown = [figure.address for figure in first_screen(page_figures(tmp_path))]
    assert shown[0] == "metrics/more.png"
    assert len(shown) == 4


def test_counts_of_rows_are_true_and_say_what_is_not_shown() -> None:
    rows = pd.DataFrame({"model": [f"net{n}" for n in range(100)], "accuracy": [0.01 * n for n in range(100)]})
    assert table_of("x", "X", rows).count == "60 of 100 rows"
    assert table_of("x", "X", rows[:7]).count == "7 rows"
    assert len(table_of("x", "X", rows).blocks[0][1]) == 60


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
    for missing in ("test_reads.csv is missing", "no usable audit/audit.json",
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


@pytest.mark.slow
def test_text_with_html_in_it_stays_text(tmp_path: Path) -> None:
    planned = make_study(tmp_path, train_on=(("studio",),), finished=False).plan()[0]
    planned.folder.mkdir(parents=True)
    (planned.folder / "failed.txt").write_text(f"Traceback\nValueError: {SCRIPT}\n")
    (tmp_path / "left_out.json").write_text(json.dumps([SCRIPT]))
    draw_figures(tmp_path, **{"mistakes/some": {"caption": f"{SCRIPT}.", "alt": f"{SCRIPT}."}})
    page = report_on(tmp_path)
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") >= 3


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_damaged_findings_are_not_told_as_nothing_found(tmp_path: Path) -> None:
    make_study(tmp_path, train_on=(("studio",),))
    (tmp_path / "findings.csv").write_text("rule\n1\n")
    page = report_on(tmp_path)
    assert "No findings are shown" in page
    assert "findings.csv cannot be read" in page


@pytest.mark.slow
def test_one_class_only_is_still_reported(tmp_path: Path) -> None:
    counts = {"train": (9, 0, 0, 0, 0, 0, 0), "val": (3, 0, 0, 0, 0, 0, 0), "test": (5, 0, 0, 0, 0, 0, 0)}
    make_study(tmp_path, train_on=(("studio",),), class_counts=counts)
    assert "Tested on studio, 5 pictures" in report_on(tmp_path)


@pytest.mark.slow
def test_page_needs_no_network_and_has_everything_beside_it(tmp_path: Path) -> None:
    make_study(tmp_path, train_on=(("studio",),))
    draw_figures(tmp_path)
    page = report_on(tmp_path)
    assert "http://" not in page
    assert "https://" not in page
    for part in page.split('="')[1:]:
        address = part.split('"')[0]
        if address.startswith(("report/", "metrics/", "confusion_matrices/", "tables/", "results.")):
            assert (tmp_path / address).is_file(), address


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def study_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("shown")
    make_study(output, models=("tiny", "other"), train_on=(("studio",), ("studio", "wild")), seeds=(1, 2))
    draw_figures(output)
    find_all(output)
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


def loaded(page: Page) -> int:
    """How many pictures of the page the browser has read."""
    return int(page.eval_on_selector_all("main img", "all => all.filter(image => image.naturalWidth).length"))


def open_all(page: Page) -> None:
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.slow
@in_browser
def test_nothing_folded_is_loaded_before_it_is_opened(browser: Browser, study_page: Path) -> None:
    page, wrong = opened(browser, study_page)
    folded = page.locator("details img")
    assert folded.count() >= 1
    for number in range(folded.count()):
        page.locator("section").nth(number).scroll_into_view_if_needed()
        assert folded.nth(number).evaluate("image => image.naturalWidth") == 0
    page.locator("#results summary", has_text="More figures").click()
    page.locator("#results details img").first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    assert page.locator("#results details img").first.evaluate("image => image.naturalWidth") == 900
    assert wrong == []


@pytest.mark.slow
@in_browser
def test_a_link_to_a_run_opens_its_section_with_curves_matrix_and_the_command(
    browser: Browser, study_page: Path
) -> None:
    name = next(iter(read_study(study_page.parent).planned))
    page, wrong = opened(browser, study_page)
    page.evaluate("name => { location.hash = name }", name)
    run = page.locator(f"[id='{name}'][open]")
    run.wait_for()
    assert run.locator("svg").count() == 2
    assert run.locator(".matrix tbody tr").count() == 7
    assert f"--verify {name}" in run.inner_text()
    assert "learning_rate = 0.001" in run.inner_text()
    assert wrong == []


@pytest.mark.slow
@in_browser
def test_the_first_part_is_printed_on_two_pages(browser: Browser, study_page: Path) -> None:
    page, _ = opened(browser, study_page)
    page.add_style_tag(content="main > section { display: none !important; }")
    pdf = page.pdf(prefer_css_page_size=True)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 2


@pytest.mark.slow
@in_browser
def test_tables_sort_by_mouse_and_keyboard_within_their_block(browser: Browser, study_page: Path) -> None:
    page, wrong = opened(browser, study_page)
    page.locator("#results summary").first.click()
    block = page.locator("#results table").first.locator("tbody").first
    heading = page.locator("#results table").first.locator("thead tr").last.locator("th").nth(2)

    def column() -> list[str]:
        cells = block.locator("tr:not(.block)").evaluate_all("all => all.map(r => r.cells[2].firstChild.textContent)")
        return [str(cell) for cell in cells]

    heading.click()
    down = column()
    assert heading.get_attribute("aria-sort") == "descending"
    assert down[:-1] == sorted(down[:-1], key=lambda text: float(text.split(" ")[0]), reverse=True)
    heading.press("Enter")
    assert column() == [*down[:-1][::-1], down[-1]], "the baseline stays last"
    assert wrong == []


@pytest.mark.slow
@in_browser
def test_figures_open_large_and_close_with_escape(browser: Browser, study_page: Path) -> None:
    page, wrong = opened(browser, study_page)
    link = page.locator("#findings a.glightbox").first
    link.scroll_into_view_if_needed()
    small = link.locator("img").bounding_box()
    link.press("Enter")
    large = page.locator(".gslide.current.loaded img")
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
    draw_figures(tmp_path, **{"metrics/overview": {"caption": SCRIPT, "is_lead": True}})
    report_on(tmp_path)
    page, wrong = opened(browser, tmp_path / "report.html")
    page.locator("#results a.glightbox").first.press("Enter")
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
def test_on_a_phone_nothing_is_wider_and_scores_are_seen_without_scrolling(browser: Browser, study_page: Path) -> None:
    page, wrong = opened(browser, study_page, viewport={"width": 390, "height": 844})
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for place, least in (("#findings table", 1), ("#results table", 2)):
        ends = page.locator(place).first.locator("tbody tr:not(.block)").first.locator("td").evaluate_all(
            "all => all.map(cell => cell.getBoundingClientRect().right)"
        )  # fmt: skip
        assert sum(end <= 390 for end in ends) >= least, place
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
def test_two_hundred_runs_are_small_searched_and_load_only_what_is_opened(browser: Browser, tmp_path: Path) -> None:
    names = tuple(f"net{number}" for number in range(100))
    only = ("studio",)
    study = make_study(tmp_path, datasets=only, train_on=(only,), models=names, seeds=(1, 2), splits=("test",))
    one = study.plan()[-1].name
    draw_figures(tmp_path, **{f"confusion_matrices/{number}": {"section": "run", "run": planned.name}
                              for number, planned in enumerate(study.plan())})  # fmt: skip
    assert len(report_on(tmp_path)) < 2_000_000
    page, wrong = opened(browser, tmp_path / "report.html")
    assert page.locator("main img").count() > 200
    assert loaded(page) < 10, "first screen, and what stands just below it"
    page.locator("#find").fill("net99 seed 2")
    assert page.locator("#found").inner_text() == "1 of 200 runs"
    shown = page.locator("details.run:visible")
    assert shown.count() == 1
    assert shown.get_attribute("id") == one
    shown.locator("summary").click()
    image = shown.locator("img")
    image.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('details.run[open] img').naturalWidth === 900")
    assert wrong == []

"""The page as people use it: by mouse, by keyboard, on a phone, in the dark, and with ten thousand records."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from vbench.analysis.comparison import published_frame
from vbench.analysis.explorer import explorer
from vbench.analysis.guide import guide
from vbench.analysis.reproduction import command
from vbench.report.page import render_page
from vbench.report.tables import latency_table

EVIL = "<script>alert(1)</script>"
PHONE = {"width": 375, "height": 740}
CLIPS = {  # frames, stride, seconds a view, peak in MiB
    "timesformer_b": (8, 32, 2.0, 1500), "video_swin_t": (32, 2, 0.9, 900), "video_swin_s": (32, 2, 1.7, 1100),
    "vivit_b_16x2": (32, 2, 4.1, 2100), "slowfast_r50_8x8": (32, 2, 0.6, 700), "c3d": (16, 1, 0.4, 1300),
}  # fmt: skip
ROWS, FIRST_PAGE = 230, 100


@pytest.fixture(scope="module")
def records(make):
    """Networks at their own clips, one in bf16 and one at a smaller crop, many small cells, and a failed one."""
    made = []
    for name, (frames, stride, seconds, mebibytes) in CLIPS.items():
        subject = make.subject(stride=stride, is_default_clip=True, title=name)
        runs = [make.process((seconds * s,) * 4, peak_memory_bytes=mebibytes * 2**20) for s in (0.97, 1.0, 1.04)]
        made.append(make.measured(make.cell(name, frames), processes=runs, subject=subject))
    stride_2 = make.subject(stride=2)
    made.append(make.measured(make.cell("video_swin_t", 32, precision="bf16"), 0.5, subject=stride_2))
    made.append(make.measured(make.cell("video_swin_t", 32, 112), 0.2, subject=stride_2))
    made.append(make.counted(make.cell("video_swin_b", 32), subject=make.subject(stride=2, is_default_clip=True)))
    many = range(1, ROWS - len(made) + 2)
    made += [make.measured(make.cell("many", t), 0.001 * (t * 37 % 101 + 1)) for t in many]
    return [*made, make.failed(make.cell("lost", 64))]


@pytest.fixture(scope="module")
def index(report, records):
    return report(records, "quick")


@pytest.fixture
def page(visit, index):
    return visit(index)


def shown_values(page, section, head):
    """What a column of a table shows now, from top to bottom, as numbers."""
    heads = page.locator(f"#{section} thead th").all_inner_texts()
    column = next(place for place, text in enumerate(heads) if text.startswith(head))
    cells = page.locator(f"#{section} tbody td:nth-child({column + 1})")
    return [float(value) for value in cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")]


def ranked(page):
    return page.locator("#ranking tbody tr").evaluate_all("rows => rows.map(row => row.dataset.name)")


def ask(page, **answers):
    for name, value in answers.items():
        field = page.locator(f"#explorer [name={name}]")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)


def test_a_click_on_a_head_sorts_all_rows_by_number_and_a_second_one_turns_them_round(page, make, records):
    head = page.locator("#latency thead button", has_text="latency")
    expect(page.locator("#latency tbody tr")).to_have_count(FIRST_PAGE)
    every = sorted(make.frame(records)["latency_median_s"].dropna())
    head.click()
    assert shown_values(page, "latency", "latency") == pytest.approx(every[:FIRST_PAGE], rel=1e-5)
    expect(head.locator("..")).to_have_attribute("aria-sort", "ascending")
    head.click()
    assert shown_values(page, "latency", "latency") == pytest.approx(every[::-1][:FIRST_PAGE], rel=1e-5)
    expect(head.locator("..")).to_have_attribute("aria-sort", "descending")


def test_enter_on_a_head_sorts_too_and_rows_without_a_number_stay_last(page):
    button = page.locator("#K400-1 thead button", has_text="top-1 (%) claimed")
    button.focus()
    for _ in range(2):
        page.keyboard.press("Enter")
        values = page.locator("#K400-1 tbody tr td:nth-child(12)").evaluate_all("all => all.map(d => d.dataset.value)")
        known = [float(value) for value in values if value is not None]
        assert len(known) < len(values)
        assert values[len(known) :] == [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=True)


def test_the_filter_keeps_the_rows_that_hold_every_word(page):
    page.locator("#latency input[type=search]").fill("SWIN_T bf16")
    expect(page.locator("#latency tbody tr")).to_have_count(1)
    expect(page.locator("#latency tbody tr")).to_contain_text("video_swin_t/t32x224x224/b1/bf16")
    expect(page.locator("#latency [role=status]")).to_have_text(f"1 of {ROWS} rows")
    page.locator("#latency input[type=search]").fill("")
    expect(page.locator("#latency tbody tr")).to_have_count(FIRST_PAGE)


def test_the_pages_of_a_long_table_hold_each_row_once(page):
    seen = []
    for _ in range(math.ceil(ROWS / FIRST_PAGE)):
        seen += page.locator("#latency tbody td.cell").all_inner_texts()
        if page.locator("#latency button", has_text="Next").is_enabled():
            page.locator("#latency button", has_text="Next").click()
    assert len(seen) == len(set(seen)) == ROWS


def test_a_number_leads_to_its_samples_environment_and_command(page, records):
    cell = records[1].cell
    page.locator("#latency input[type=search]").fill(f"{cell.model} 224 fp32")
    expect(page.locator("#latency tbody tr")).to_have_count(1)
    page.locator("#latency tbody td.number a").first.click()
    panel = page.locator("dialog[open]")
    expect(panel).to_contain_text(cell.id)
    expect(panel).to_contain_text(command(cell))
    expect(panel).to_contain_text("abc1234")
    assert panel.locator("circle.sample").count() == sum(len(run.latency_s) for run in records[1].processes)
    assert panel.locator("line.median").count() == len(records[1].processes)
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.locator("#latency tbody td.cell a").click()
    expect(page.locator("dialog[open]")).to_contain_text(cell.id)
    page.go_back()
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_the_address_of_a_cell_opens_its_panel(visit, index, records):
    address = visit(index).evaluate("place => allCells.address(place)", 0)
    expect(visit(index, address).locator("dialog[open]")).to_contain_text(records[0].cell.id)


def test_a_failed_cell_says_why_it_has_no_samples(page, records):
    page.locator("#unfinished tbody td.cell a").click()
    expect(page.locator("dialog[open]")).to_contain_text("out of memory")
    expect(page.locator("dialog[open]")).to_contain_text("has no samples")


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        ({"seconds": "10"}, {"seconds": 10.0}),
        ({"seconds": "2.134", "fps": "30"}, {"seconds": 2.134, "fps": 30.0}),
        ({"seconds": "10", "fps": "16"}, {"seconds": 10.0, "fps": 16.0}),
        ({"seconds": "60", "maxLatency": "30"}, {"seconds": 60.0, "max_latency_s": 30.0}),
        ({"seconds": "3", "maxMemory": "1.25"}, {"seconds": 3.0, "max_memory_bytes": 5 * 2**28}),
        ({"seconds": "3", "minTop1": "79"}, {"seconds": 3.0, "min_top1": 79.0}),
        ({"seconds": "4", "size": "112"}, {"seconds": 4.0, "size": 112}),
    ],
)
def test_the_explorer_answers_as_the_guide_does(page, make, records, asked, question):
    ask(page, **asked)
    expected = guide(make.frame(records), published_frame(), **({"device": "cpu", "fps": 30.0} | question))
    assert expected.ranking or "min_top1" in question
    assert ranked(page) == [choice.name for choice in expected.ranking]
    out = page.locator("#ruled-out li").evaluate_all("items => items.map(item => item.dataset.name)")
    assert sorted(out) == sorted(choice.name for choice in expected.ruled_out)
    front = page.locator("#front a.on-front").evaluate_all("points => points.map(point => point.dataset.name)")
    published = [choice.name for choice in expected.ranking if choice.top1 is not None]
    assert sorted(front) == sorted(name for name in expected.front if name in published)
    alike = page.locator("#ranking tr", has_text="costs much like the next")
    assert alike.evaluate_all("rows => rows.map(row => row.dataset.name)") == [
        pair.first for pair in expected.undecided
    ]


def test_the_ranking_by_counts_is_the_guides_where_nothing_was_measured(page, make, records):
    ask(page, seconds="10", cost="macs")
    counted = [
        make.counted(record.cell, subject=record.subject, counts=record.counts)
        for record in records
        if record.subject.is_default_clip
    ]
    expected = guide(make.frame(counted), published_frame(), seconds=10.0, device="cpu")
    assert ranked(page) == [choice.name for choice in expected.ranking]


def test_another_precision_ranks_its_own_cells(page):
    ask(page, precision="bf16")
    assert ranked(page) == ["video_swin_t"]


def test_the_slider_moves_the_length_the_ranking_and_the_front_by_keyboard(page):
    ask(page, seconds="2")
    before = page.locator("#ranking").inner_text(), page.locator("#front").inner_html()
    page.locator("#explorer input[type=range]").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#explorer [name=seconds]")).to_have_value("10")
    expect(page.locator("#answer")).to_contain_text("10 s at 30 frames a second are 300 frames")
    assert page.locator("#ranking").inner_text() != before[0]
    assert page.locator("#front").inner_html() != before[1]


def test_the_command_of_the_explorer_is_the_question(page):
    ask(page, seconds="7", fps="16", maxLatency="20", maxMemory="8")
    expect(page.locator("#same code")).to_have_text(
        "vbench guide --records . --seconds 7 --fps 16 --device cpu --max-latency 20s --max-memory 8GiB"
    )


def test_numbers_read_as_in_the_reports(page):
    from vbench import units

    values = [1.2345e-7, 0.0123, 0.9996, 1.0, 12.34, 999.6, 1234.6, 123456.0]
    assert page.evaluate("values => values.map(inSeconds)", values) == [units.seconds(value) for value in values]
    sizes = [1.0, 1023.0, 1024.0, 5.5e8, 3.2e13]
    assert page.evaluate("values => values.map(inBytes)", sizes) == [units.size(value) for value in sizes]
    assert page.evaluate("interval(0.0123, 0.0121, 0.0126)") == units.seconds_interval(0.0123, 0.0121, 0.0126)


def test_everything_is_reached_by_keyboard_alone(page):
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#explorer input[type=range]")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#latency td.cell') !== null"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open]")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('#latency td.cell') !== null")


def test_every_field_has_a_name_for_those_who_hear_the_page(page):
    unnamed = page.locator("input, select, button").evaluate_all(
        "fields => fields.filter(f => !(f.labels?.length || f.textContent.trim() || f.ariaLabel)).map(f => f.outerHTML)"
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_tables_not_the_page(visit, index, scheme):
    page = visit(index, viewport=PHONE, color_scheme=scheme, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#latency tbody td.cell a").first.click()
    assert page.locator("dialog[open]").bounding_box()["width"] <= PHONE["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_dark_mode_is_dark_and_every_text_on_it_light(visit, index):
    page = visit(index, color_scheme="dark")
    brightness = "name => getComputedStyle(document.body)[name].match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
    assert page.evaluate(brightness, "backgroundColor") < 150
    assert page.evaluate(brightness, "color") > 600


def test_a_model_named_like_a_script_is_shown_and_not_run(visit, report, make):
    names = [EVIL, "a\u2028b", "</script><img src=x onerror=alert(2)>"]
    subject = make.subject(is_default_clip=True, title=EVIL, family=EVIL)
    page = visit(report([make.measured(make.cell(name), subject=subject) for name in names], EVIL.replace("/", "_")))
    page.locator("#latency thead button", has_text="model").click()
    shown = page.locator("#latency tbody td:first-child").all_text_contents()
    assert sorted(shown) == sorted(names)
    page.locator("#latency td.cell a", has_text=EVIL).click()
    expect(page.locator("dialog[open] h2")).to_have_text(f"{EVIL}/t8x224x224/b1/fp32/infer/eager/fused/cpu")
    assert page.locator("main img[src=x]").count() == 0


def test_the_policy_lets_nothing_else_run_and_nothing_load(chromium, index):
    page = chromium.new_page()  # what is refused is complained of
    page.goto(index.as_uri())
    ran = page.evaluate(
        """async () => {
          const broken = [];
          document.addEventListener("securitypolicyviolation", (event) => broken.push(event.violatedDirective));
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          const image = new Image();
          image.src = "https://example.invalid/x.png";
          await new Promise((done) => setTimeout(done, 100));
          return { ran: window.ran === true, broken };
        }"""
    )
    page.context.close()
    assert ran["ran"] is False
    assert {name.split("-")[0] for name in ran["broken"]} == {"script", "img"}


def test_ten_thousand_records_fit_sort_and_filter(visit, make, tmp_path):
    subject = make.subject(is_default_clip=False)
    clips = [(t, s) for t in range(1, 26) for s in range(16, 16 * 21, 16)]
    models = [f"network_{number:02d}" for number in range(20)]
    records = [
        make.measured(make.cell(name, t, s), 1e-6 * t * s * (number + 1), subject=subject)
        for number, name in enumerate(models)
        for t, s in clips
    ]
    assert len(records) == 10_000
    frame = make.frame(records)
    path = tmp_path / "large.html"
    path.write_text(
        render_page(
            title="large", environments={"e1": make.environment()}, date="2026-11-20", summary={"measured": 10_000},
            tables=[latency_table(frame)], records=records, frame=frame, settings=[], left_out="", figures=[],
        )
    )  # fmt: skip
    assert path.stat().st_size < 3_000_000
    page = visit(path)
    page.locator("#latency thead button", has_text="latency").click()
    assert shown_values(page, "latency", "latency")[0] == pytest.approx(1e-6 * 16, rel=1e-5)
    page.locator("#latency input[type=search]").fill("network_07 /t25x320x320/")
    expect(page.locator("#latency tbody tr")).to_have_count(1)
    page.locator("#latency td.cell a").click()
    expect(page.locator("dialog[open]")).to_contain_text("vbench sweep --models network_07 --frames 25 --sizes 320")


def test_settings_of_the_explorer_stand_in_the_page_as_python_made_them(page, make, records):
    carried = page.evaluate("carried('settings')")
    made = [setting.to_json() for setting in explorer(make.frame(records), published_frame())]
    for setting in (*carried, *made):
        setting["models"] = [{k: v for k, v in model.items() if k != "cell"} for model in setting["models"]]
    assert carried == json.loads(json.dumps(made))


def test_a_page_without_networks_has_no_explorer(visit, report, make):
    bare = make.measured(replace(make.cell("core:joint", 8, 14), unit="tokens"), subject=make.subject(kind="pattern"))
    page = visit(report([bare], "patterns"))
    expect(page.locator("#patterns tbody tr")).to_have_count(1)
    assert page.locator("#explorer").count() == 0

from pathlib import Path

import pytest

from vbench.errors import AxisError, GridError, UnknownNameError, VbenchError
from vbench.grid import ModelFacts, grid_from_document, parse_grid, parse_size, read_grid

FACTS = {
    "timesformer_b": ModelFacts(unit="pixels", default=(8, 224, 224)),
    "vivit_b": ModelFacts(unit="pixels", default=(32, 224, 224)),
    "vivit_l": ModelFacts(unit="pixels", default=(32, 224, 224)),
    "core:joint": ModelFacts(unit="tokens", default=(8, 14, 14)),
}


def ids(document: dict) -> list[str]:
    return [plan.cell.id for plan in grid_from_document(document, "here").plans(FACTS)]


def test_a_block_is_the_product_of_its_axes() -> None:
    block = {"models": ["timesformer_b", "vivit_b"], "frames": [8, 16], "sizes": [112, "64x96"], "batch": [1, 2]}
    plans = grid_from_document({"block": [block]}, "here").plans(FACTS)
    axes = {(p.cell.model, p.cell.frames, p.cell.height, p.cell.width, p.cell.batch) for p in plans}
    sizes = [(112, 112), (64, 96)]
    assert axes == {(m, t, *s, b) for m in ("timesformer_b", "vivit_b") for t in (8, 16) for s in sizes for b in (1, 2)}
    assert len(plans) == 16


def test_without_frames_and_sizes_stands_the_default_clip() -> None:
    assert ids({"block": [{"models": "vivit_b"}]}) == ["vivit_b/t32x224x224/b1/fp32/infer/eager/fused/cpu"]
    assert ids({"block": [{"models": "core:joint"}]}) == ["core:joint/g8x14x14/b1/fp32/infer/eager/fused/cpu"]


def test_a_wildcard_stands_for_every_name_that_it_matches() -> None:
    assert {i.split("/")[0] for i in ids({"block": [{"models": ["vivit_*"]}]})} == {"vivit_b", "vivit_l"}


def test_a_cell_that_two_blocks_name_is_there_once_and_measured_if_one_measures_it() -> None:
    blocks = [{"models": ["vivit_b"], "count_only": True}, {"models": ["vivit_*"]}]
    plans = grid_from_document({"block": blocks}, "here").plans(FACTS)
    assert [(plan.cell.model, plan.count_only) for plan in plans] == [("vivit_b", False), ("vivit_l", False)]


def test_an_excluded_cell_keeps_its_reason() -> None:
    document = {
        "block": [{"models": ["vivit_b"], "frames": [8, 16]}],
        "exclude": [{"models": ["vivit_*"], "frames": 16, "reason": "an hour a forward"}],
    }
    plans = grid_from_document(document, "here").plans(FACTS)
    assert [(plan.cell.frames, plan.excluded) for plan in plans] == [(8, ""), (16, "an hour a forward")]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"block": [{"model": "vivit_b"}]}, "unknown key in here, [[block]] 'model'; did you mean 'models'?"),
        ({"blok": []}, "unknown key in here 'blok'; did you mean 'block'?"),
        ({"block": [{"models": "vivit_b", "precisions": "fp23"}]}, "unknown precision 'fp23'; did you mean 'fp32'?"),
        ({"block": [{"models": "vivit_b", "frames": 0}]}, "frames must be whole numbers of at least 1; got 0"),
        ({"block": [{"models": "vivit_b", "frames": "8"}]}, "frames must be whole numbers of at least 1; got '8'"),
        ({"block": [{"models": "vivit_b", "frames": True}]}, "frames must be whole numbers of at least 1; got True"),
        ({"block": [{"models": "vivit_b", "sizes": -224}]}, "got -224"),
        ({"block": [{"models": "vivit_b", "count_only": "yes"}]}, "count_only must be true or false; got 'yes'"),
        ({"block": []}, "nothing to sweep"),
        ({"block": [{}]}, "names its models"),
        ({"block": {"models": "vivit_b"}}, "must be tables"),
        ({"block": [{"models": "vivit_b"}], "exclude": [{"frames": 8}]}, "says why"),
        ({"block": [{"models": "vivit_b"}], "budget": "10 minutes"}, "malformed duration '10 minutes'"),
        ({"block": [{"models": "vivit_b"}], "processes": 0}, "processes must be whole numbers"),
    ],
)
def test_a_broken_description_says_in_one_line_what_is_wrong(document: dict, says: str) -> None:
    with pytest.raises(VbenchError) as error:
        grid_from_document(document, "here")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"models": "vivit_x"}, "unknown model 'vivit_x'; did you mean 'vivit_"),
        ({"models": "nothing_*"}, "unknown model"),
        ({"models": "core:joint", "frames": 8}, "takes grids of tokens"),
        ({"models": "vivit_b", "grids": "8x14x14"}, "takes frames and sizes"),
    ],
)
def test_models_and_their_axes_must_go_together(block: dict, says: str) -> None:
    with pytest.raises((UnknownNameError, GridError), match=says):
        grid_from_document({"block": [block]}, "here").plans(FACTS)


def test_a_file_that_is_not_there_or_no_toml_is_an_error_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(GridError, match=r"cannot read .*missing\.toml"):
        read_grid(tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("title = ")
    with pytest.raises(GridError, match=r"broken\.toml is no TOML"):
        read_grid(broken)


def test_limits_are_read_as_durations(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('budget = "10m"\ntimeout = "90s"\n[[block]]\nmodels = "vivit_b"\n')
    grid = read_grid(file)
    assert (grid.title, grid.budget_s, grid.timeout_s) == ("mine", 600, 90)


@pytest.mark.parametrize("text", ["0", "224x0", "big", "1x2x3", "-1"])
def test_sizes_are_positive_pixels(text: str) -> None:
    with pytest.raises(GridError, match="sizes must be pixels"):
        parse_size(text)


@pytest.mark.parametrize("text", ["8x14", "0x1x1", "axbxc", ""])
def test_grids_have_three_positive_axes(text: str) -> None:
    with pytest.raises(GridError, match="grids must be tokens"):
        parse_grid(text)


@pytest.mark.parametrize("preset", ["quick", "cpu", "gpu", "full"])
def test_every_preset_is_a_grid_of_the_catalog(preset: str) -> None:
    from vbench.measure.subject import known_facts
    from vbench_models.loading import names

    grid = read_grid(Path(__file__).parents[2] / "vbench" / "presets" / f"{preset}.toml")
    plans = grid.plans(known_facts(grid.models()))
    assert grid.title == preset
    assert {plan.cell.model for plan in plans} <= set(names())
    assert any(not plan.count_only for plan in plans)


def test_a_budget_must_be_more_than_nothing() -> None:
    with pytest.raises(AxisError, match="more than 0"):
        grid_from_document({"block": [{"models": "vivit_b"}], "budget": "0s"}, "here")

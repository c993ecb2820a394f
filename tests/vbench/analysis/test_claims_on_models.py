"""Claims on structure and on published figures: each method can say yes and no."""

import pandas as pd
import pytest

from vbench.analysis.claims import METHODS, Blindness, Claim, Evidence, Judged, Quantised, Stream, read_claims
from vbench.analysis.claims import accuracies as accuracy_claims
from vbench.analysis.comparison import published_accuracies
from vbench.analysis.frame import records_frame
from vbench.cell import Cell
from vbench.results import Counted, Counts, Subject

CLAIMS = {claim.id: claim for claim in read_claims()}


def counted(**gmacs_and_params: tuple[Cell, float, float]) -> pd.DataFrame:
    """Records of counted cells: each a cell with its GMACs and millions of parameters."""
    records = [
        Counted(
            cell=cell,
            subject=Subject(kind="architecture", family="x", title="x", is_default_clip=True),
            environment="",
            counts=Counts(
                params=round(params * 1e6), macs=round(gmacs * 1e9), attention_macs=0, mixing_extra_macs=0, op_bytes=0,
                predicted_peak_bytes=0,
            ),
        )
        for cell, gmacs, params in gmacs_and_params.values()
    ]  # fmt: skip
    return records_frame(records, {})


def judge(method: str, known: Evidence, **changes: object) -> Judged:
    fields = {"id": "X01", "statement": "so", "claimed": "", "formula": "", "keys": (), "source": "somewhere"} | changes
    return METHODS[method](Claim(method=method, **fields), known)  # type: ignore[arg-type]


def judge_row(identifier: str, known: Evidence | None = None) -> Judged:
    claim = CLAIMS[identifier]
    return METHODS[claim.method](claim, known or Evidence(counted=records_frame([], {})))


@pytest.mark.parametrize(
    ("macs", "memory", "verdict", "says"),
    [
        ((1, 2, 3, 3, 3, 3), (1, 2, 3, 3, 3, 3), "agrees", "levels off for first"),
        ((1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 6), "contradicted", "not bounded for first"),
        ((3, 3, 3, 3, 3, 3), (1, 2, 3, 4, 5, 6), "agrees", "not bounded for first"),
    ],
)
def test_a_stream_is_linear_where_each_clip_costs_the_same(
    macs: tuple[int, ...], memory: tuple[int, ...], verdict: str, says: str
) -> None:
    known = Evidence(streams={"first": Stream(macs, memory)})
    judged = judge("memory stream", known, keys=("first",))
    assert judged.verdict == verdict
    assert says in judged.evidence


def test_one_model_whose_clips_grow_dearer_contradicts_the_claim_for_all() -> None:
    level, rising = ((5,) * 6, (1,) * 6), (tuple(range(6)), tuple(range(6)))
    streams = {name: Stream(macs, memory) for name, (macs, memory) in {"a": level, "b": rising}.items()}
    judged = judge("memory stream", Evidence(streams=streams), keys=("a", "b"))
    assert judged.verdict == "contradicted"
    assert "still grows with every clip for b" in judged.evidence


@pytest.mark.parametrize(
    "method", ["memory stream", "stage pooling", "class token", "backward precision", "quantised block"]
)
def test_what_was_not_observed_is_undecided_and_says_what_would_decide(method: str) -> None:
    judged = judge(method, Evidence(), keys=("memvit_16",))
    assert judged.verdict == "undecided"
    assert "would be decided by" in judged.evidence


@pytest.mark.parametrize(
    ("stages", "verdict", "says"),
    [
        (((8, 56, 56, 96), (8, 28, 28, 192), (8, 14, 14, 384)), "contradicted", "H, W are halved"),
        (((8, 56, 56, 96), (4, 28, 28, 192), (2, 14, 14, 384)), "agrees", "T, H, W are halved"),
        (((8, 56, 56, 96), (4, 28, 28, 96), (2, 14, 14, 96)), "contradicted", "not always doubled"),
    ],
)
def test_stages_say_which_axes_are_halved(stages: tuple[tuple[int, ...], ...], verdict: str, says: str) -> None:
    judged = judge("stage pooling", Evidence(stages=stages))
    assert judged.verdict == verdict
    assert says in judged.evidence


@pytest.mark.parametrize(
    ("change", "gradient", "verdict"), [(0.0, 0.0, "contradicted"), (0.3, 0.0, "agrees"), (0.0, 0.1, "agrees")]
)
def test_a_class_token_is_blind_only_without_change_and_without_gradient(
    change: float, gradient: float, verdict: str
) -> None:
    known = Evidence(class_token=Blindness(change, gradient))
    assert judge("class token", known).verdict == verdict


@pytest.mark.parametrize(("kinds", "verdict"), [(("bfloat16",), "contradicted"), (("float32", "float32"), "agrees")])
def test_the_backward_pass_is_in_fp32_only_if_all_its_products_are(kinds: tuple[str, ...], verdict: str) -> None:
    known = Evidence(backward_dtypes=kinds, autocast_dtype="bfloat16")
    assert judge("backward precision", known).verdict == verdict


@pytest.mark.parametrize(
    ("quantised", "verdict"),
    [
        (Quantised(400, 100, ()), "agrees"),
        (Quantised(400, 100, ("in_proj",)), "contradicted"),
        (Quantised(400, 200, ()), "contradicted"),
    ],
)
def test_a_quantised_block_covers_everything_and_is_four_times_smaller(quantised: Quantised, verdict: str) -> None:
    assert judge("quantised block", Evidence(quantised=quantised)).verdict == verdict


@pytest.mark.parametrize(
    ("identifier", "verdict", "names"),
    [
        ("Q01", "quoted", "C3D"),
        ("Q03", "other row", "Two-Stream on K400"),
        ("Q05", "other row", "Moments in Time"),
        ("Q09", "other row", "MViT-B 64x3"),
        ("Q10", "quoted", "MViT-B 16x4"),
        ("Q15", "other row", "H/14x2"),
    ],
)
def test_a_quoted_accuracy_is_set_against_its_published_row(identifier: str, verdict: str, names: str) -> None:
    judged = judge_row(identifier)
    assert judged.verdict == verdict
    assert names in judged.evidence


def test_an_accuracy_that_nobody_published_is_contradicted(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = pd.DataFrame([{"id": "X01", "architecture": "ViViT", "variant": "", "dataset": "K400", "metric": "12.3"}])
    monkeypatch.setattr(accuracy_claims, "data", lambda _name: wanted)
    judged = judge("quoted", Evidence())
    assert judged.verdict == "contradicted"
    assert "12.3" in judged.evidence


def test_no_published_accuracy_is_listed_twice() -> None:
    rows = published_accuracies()
    assert not rows.duplicated(["architecture", "variant", "dataset", "metric"]).any()


def test_a_table_row_agrees_where_counts_and_claim_do() -> None:
    cell = Cell(model="timesformer_l", frames=96, height=224, width=224)
    agreeing, other = (Evidence(counted=counted(one=(cell, gmacs, 121.6))) for gmacs in (2379.9, 2500.0))
    assert judge_row("K13", agreeing).verdict == "agrees"
    assert judge_row("K13", other).verdict == "contradicted"
    assert judge_row("K13").verdict == "undecided"


@pytest.mark.parametrize(
    ("identifier", "verdict"), [("K11", "other row"), ("K12", "contradicted"), ("K24", "other row")]
)
def test_a_table_row_of_figures_of_several_models_names_them(identifier: str, verdict: str) -> None:
    assert judge_row(identifier).verdict == verdict


def test_a_model_is_on_the_front_until_a_rival_is_cheaper_and_as_accurate() -> None:
    assert judge_row("S02").verdict == "contradicted"
    assert judge_row("S03").verdict == "agrees"
    cheap = Cell(model="vivit_b_16x2", frames=32, height=224, width=224)
    assert judge_row("S03", Evidence(counted=counted(one=(cheap, 1.0, 88.9)))).verdict == "contradicted"


def test_the_front_keeps_each_new_highest_accuracy() -> None:
    rows = pd.DataFrame({"video_gmacs": [3.0, 1.0, 2.0, 2.0], "metric": [70.0, 60.0, 65.0, 66.0]})
    front = accuracy_claims._front(rows)
    assert list(zip(front["video_gmacs"], front["metric"], strict=True)) == [(1.0, 60.0), (2.0, 66.0), (3.0, 70.0)]


def test_a_claimed_gain_must_hold_for_every_published_transformer() -> None:
    assert judge_row("S11").verdict == "contradicted"
    assert judge("gain over convolutions", Evidence(), claimed="0-20 %").verdict == "contradicted"  # some lie below 0


def test_a_claimed_gain_agrees_where_all_published_gains_lie_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    published = accuracy_claims.published_frame()
    better = (published["metric"] > 80.0) | (published["architecture"] == "SlowFast")
    monkeypatch.setattr(accuracy_claims, "published_frame", lambda: published[better])
    assert judge("gain over convolutions", Evidence(), claimed="0-20 %").verdict == "agrees"


def test_the_best_trade_off_is_that_of_whoever_owns_the_whole_front() -> None:
    known = Evidence(counted=records_frame([], {}))
    everyone = tuple(accuracy_claims.k400_rows(accuracy_claims.published_frame())["key"])
    assert judge("best trade-off", known, keys=everyone).verdict == "agrees"
    assert judge_row("S13").verdict == "contradicted"


def test_the_most_accurate_is_the_first_key_or_it_is_not() -> None:
    keys = CLAIMS["S04"].keys
    known = Evidence(counted=records_frame([], {}))
    assert judge("most accurate", known, keys=keys).verdict == "agrees"
    assert judge("most accurate", known, keys=keys[::-1]).verdict == "contradicted"


@pytest.mark.parametrize(("keys", "verdict"), [(("timesformer_l",), "agrees"), (("mtv_b",), "contradicted")])
def test_long_form_is_a_matter_of_the_seconds_that_a_clip_covers(keys: tuple[str, ...], verdict: str) -> None:
    assert judge("long form", Evidence(), keys=keys).verdict == verdict  # 96 x 4 and 32 x 2 frames


def test_longer_is_better_only_while_accuracy_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ("mvit_b_16x4", "mvit_b_32x3", "mvit_b_64x3")
    assert judge("longer is better", Evidence(), keys=keys).verdict == "agrees"
    published = accuracy_claims.published_frame()
    published.loc[published["key"] == "mvit_b_64x3", "metric"] = 70.0
    monkeypatch.setattr(accuracy_claims, "published_frame", lambda: published)
    assert judge("longer is better", Evidence(), keys=keys).verdict == "contradicted"


@pytest.mark.parametrize(("claimed", "verdict"), [("896 GPU-hours", "contradicted"), ("416 GPU-hours", "quoted")])
def test_training_hours_are_quoted_where_they_are_the_published_ones(claimed: str, verdict: str) -> None:
    judged = judge("training time", Evidence(counted=records_frame([], {})), claimed=claimed, keys=("timesformer_b",))
    assert judged.verdict == verdict


def test_the_numbering_of_a_paper_is_read_from_its_rows() -> None:
    keys = CLAIMS["S01"].keys
    assert judge("model numbers", Evidence(), claimed="2: factorised encoder", keys=keys).verdict == "agrees"
    assert judge("model numbers", Evidence(), claimed="1: factorised", keys=keys).verdict == "contradicted"


def test_readings_are_told_from_computations() -> None:
    readings = [claim for claim in CLAIMS.values() if claim.method == "reading"]
    assert readings
    assert all(judge_row(claim.id).derived == "read, not computed" for claim in readings)

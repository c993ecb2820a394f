"""Streams on paper: bounded memories level off, STM's does not, and techniques are observed as torch runs them."""

from itertools import pairwise

import torch

from vbench.measure.sketches import mvit_stages
from vbench.measure.streams import stream_costs
from vbench.measure.techniques import DIM, backward_dtypes, quantised_block


def test_memvit_s_clips_cost_what_the_official_code_counts_and_level_off() -> None:
    macs, remembered = stream_costs("memvit_16", 7)
    assert [round(clip / 1e9, 2) for clip in (macs[0], macs[-1])] == [57.18, 58.51]
    assert len(set(macs[4:])) == len(set(remembered[4:])) == 1
    assert macs[3] < macs[4]  # full from the fifth clip on, not before


def test_each_frame_of_stm_costs_more_than_the_last_by_one_more_reading() -> None:
    macs, remembered = stream_costs("stm_r50", 5)
    positions, queries = 30 * 54, 30 * 54  # 480 x 854 at a sixteenth
    assert {later - earlier for earlier, later in pairwise(macs)} == {queries * positions * (128 + 512)}
    assert {later - earlier for earlier, later in pairwise(remembered)} == {4 * positions * (128 + 512)}


def test_mvit_never_pools_time_after_its_patches() -> None:
    stages = mvit_stages()
    assert [stage[0] for stage in stages] == [8] * 4
    assert [stage[1:3] for stage in stages] == [(56, 56), (28, 28), (14, 14), (7, 7)]


def test_backward_products_run_in_the_type_of_autocast() -> None:
    assert set(backward_dtypes()) == {"bfloat16"}


def test_dynamic_int8_leaves_the_packed_projection_of_multihead_attention() -> None:
    fp32_bytes, int8_bytes, untouched = quantised_block()
    assert untouched == ("self_attn.in_proj_weight",)
    assert fp32_bytes - int8_bytes > 3 * 8 * DIM * DIM  # two matrices of 4 dim^2 lose three of their four bytes
    assert torch.nn.MultiheadAttention(DIM, 4).in_proj_weight.nbytes < int8_bytes

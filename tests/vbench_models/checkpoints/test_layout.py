"""Tables of public names, read forwards: every network that has one is known to it whole, and no name serves twice."""

import subprocess
import sys
from collections import Counter

import pytest
import torch

from vbench_models import card_of, load
from vbench_models.catalog import ARCHITECTURES
from vbench_models.checkpoints.layout import Layout, Part, within
from vbench_models.checkpoints.loading import LAYOUTS

KNOWN = [name for name in LAYOUTS if name in ARCHITECTURES]


def test_what_follows_a_module_and_its_numbers_follow_on_both_sides() -> None:
    layout = Layout(publisher="us", names={"stages.*.blocks.*.fc": "layer.*.inner.*.dense"})
    assert layout.sources("stages.2.blocks.17.fc.bias") == (Part("layer.2.inner.17.dense.bias"),)
    assert layout.sources("stages.2.blocks.17.fc2.bias") == ()
    assert layout.sources("stages.2.blocks.a.fc.bias") == ()


def test_several_of_theirs_are_stacked_and_a_part_is_cut() -> None:
    layout = Layout(publisher="us", names={"qkv": ("q", "k"), "v": Part("kv", 1, of=2)})
    assert layout.sources("qkv.weight") == (Part("q.weight"), Part("k.weight"))
    assert layout.sources("v.bias") == (Part("kv.bias", 1, of=2),)


def test_a_table_of_a_module_moves_with_it() -> None:
    assert within("a.*", "b.*.c", {"x": "y", "z": ("v", "w"), "p": Part("q", 1, of=3)}) == {
        "a.*.x": "b.*.c.y",
        "a.*.z": ("b.*.c.v", "b.*.c.w"),
        "a.*.p": Part("b.*.c.q", 1, of=3),
    }


@pytest.mark.parametrize("name", KNOWN)
def test_every_layout_names_every_tensor_of_its_network_and_no_part_twice(name: str) -> None:
    with torch.device("meta"):
        tensors = load(name)(card_of(name).default_clip).state_dict()
    for layout in LAYOUTS[name]:
        parts = [layout.sources(ours) for ours in tensors]
        assert all(parts), layout.publisher
        assert max(Counter(part for several in parts for part in several).values()) == 1, layout.publisher


def test_tables_import_no_torch() -> None:
    names = ["mvit", "timesformer", "video_swin", "videomae", "vivit"]
    imports = "; ".join(f"import vbench_models.checkpoints.{name}" for name in names)
    code = f"import sys, vbench_models; {imports}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

"""The relevance modules."""

from vbench_models.card import Card
from vbench_models.video import TokenGrid

VIT_GRID = TokenGrid(8, 14, 14)
ANY_GRID = "any token grid b t h w c"

MODULES: dict[str, Card] = {
    "multi_scale_relevance": Card(
        title="Temporal relevance of frame, clip and sequence",
        kind="module",
        family="relevance",
        task="relevance",
        reference="a design of ours; nearest: Zhou et al., 'Temporal Relational Reasoning in Videos', ECCV 2018, sec. 3.2, https://arxiv.org/abs/1711.08496",
        builder="vbench_models.relevance.multi_scale_relevance:build",
        default_grid=VIT_GRID,
        supports=ANY_GRID,
        note="runs of 1, 4 and 16 frames, each rated by a scorer of its own; one fused score a frame",
    ),
    "gated_temporal": Card(
        title="Gated temporal processing, half of the frames",
        kind="module",
        family="relevance",
        task="relevance",
        reference="Raposo et al., 'Mixture-of-Depths', 2024, sec. 3, https://arxiv.org/abs/2404.02258, for whole frames",
        builder="vbench_models.relevance.gated_temporal:build",
        default_grid=VIT_GRID,
        supports=ANY_GRID,
        note="skipped frames are neither projected nor attended to; build_masked in the same file is the form that multiplies by a mask and saves nothing",
    ),
    "dynamic_frame_sampling": Card(
        title="Dynamic frame sampling under a budget, learned policy",
        kind="module",
        family="relevance",
        task="frame sampling",
        reference="Wu et al., 'AdaFrame', CVPR 2019, sec. 3, https://arxiv.org/abs/1811.12432; by rule: Zhi et al., 'MGSampler', ICCV 2021, sec. 3, https://arxiv.org/abs/2104.09952",
        builder="vbench_models.relevance.dynamic_frame_sampling:build",
        default_grid=VIT_GRID,
        supports=ANY_GRID,
        note="returns the indices of half of the frames; sample_by_motion in the same file is the rule on pixels",
    ),
    "predictive_coding": Card(
        title="Predictive-coding attention: precision times prediction error",
        kind="module",
        family="relevance",
        task="relevance",
        reference="a design of ours on Rao & Ballard, 1999, https://doi.org/10.1038/4580, and Feldman & Friston, 2010, https://doi.org/10.3389/fnhum.2010.00215",
        builder="vbench_models.relevance.predictive_coding:build",
        default_grid=VIT_GRID,
        supports=ANY_GRID,
    ),
    "temporal_coherence": Card(
        title="Temporal coherence of attention, and slow features",
        kind="module",
        family="relevance",
        task="loss",
        reference="Wiskott & Sejnowski, 'Slow Feature Analysis', 2002, https://doi.org/10.1162/089976602317318938; on attention: a design of ours after Mobahi et al., ICML 2009, https://doi.org/10.1145/1553374.1553469",
        builder="vbench_models.relevance.temporal_coherence:build",
        default_grid=VIT_GRID,
        supports=ANY_GRID,
        note="attentive pooling of each frame with both penalties; mean_change in the same file takes any attention maps",
    ),
    "relevance_allocator": Card(
        title="Temporal relevance allocator: tokens weighted by their temporal context",
        kind="module",
        family="relevance",
        task="relevance",
        reference="a design of ours; the score is that of Vaswani et al., 2017, sec. 3.2.1, https://arxiv.org/abs/1706.03762",
        builder="vbench_models.relevance.relevance_allocator:build",
        default_grid=VIT_GRID,
        supports=ANY_GRID,
        note="softmax over the clip's tokens; build_gate in the same file decides by a sigmoid on each token alone",
    ),
    "relevance_router": Card(
        title="Temporally aware router: one to four experts a token",
        kind="module",
        family="relevance",
        task="relevance",
        reference="a design of ours on Shazeer et al., ICLR 2017, sec. 2, https://arxiv.org/abs/1701.06538, and Zhou et al., NeurIPS 2022, sec. 3, https://arxiv.org/abs/2202.09368",
        builder="vbench_models.relevance.relevance_router:build",
        default_grid=VIT_GRID,
        supports=ANY_GRID,
        note="fixed shares of the tokens, a quarter for each number of experts, so that the cost is known beforehand",
    ),
}

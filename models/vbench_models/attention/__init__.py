"""Attention patterns over a token grid `b t h w c`, one file each.

A pattern file holds

- a module whose `forward(x)` maps `b t h w c` to the update of the same shape, projections included, and whose
  `core(q, k, v)` runs only the attention steps on given `b heads t h w d` tensors;
- `build(grid, dim, num_heads)`, which the catalog names;
- the closed forms `core_macs(grid, config)` and `macs(grid, config)`: multiply-adds of one clip, of the products
  q k^T and a v alone, and of the whole module.
"""

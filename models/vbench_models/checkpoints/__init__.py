"""Public checkpoints: what their publishers call each tensor, and `load_checkpoint`, which reads them.

One file a family, each a table of names that imports no torch; `layout.py` says how a table is read.
"""

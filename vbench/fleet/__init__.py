"""The same sweep on many machines, through Dask distributed: the scheduler, its retries and its dashboard are Dask's.

Here is what a worker announces (`announced`) and runs (`remote`, `serving`), which cluster is meant (`address`), how it
is reached (`started`) and guarded (`safety`), who in it agrees with this client (`roster`), and the bench that a sweep
hands its cells to (`dispatch`). Dask is an extra: `pip install vbench-attention[cluster]`.
"""

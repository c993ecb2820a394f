"""Published figures and published claims, with their sources.

`published.csv`: one row per published row of a model on one data set, protocol and clip. `key` is the catalog's name of
the model, empty where the catalog has none; `gmacs_per_view` is what papers print as GFLOPs, in giga-multiply-adds per
view; `params_m` in millions; an empty cell is not known. `claims_k400.csv`: the rows of two comparison tables on
Kinetics-400; `published_rows` names, figure by figure, the published row that it belongs to, or `none`
where no published row of the architecture has it.

`accuracies.csv`: published accuracies on other data sets than the row of `published.csv`. `claims.csv` and
`claims_ratios.csv` (on costs set against one another): every claim with the method that judges it;
`claims_accuracy.csv` says of a quoted accuracy whose and on what it is claimed to be; `readings.csv` holds verdicts
that somebody read in a source: nothing of them is computed.

`accelerators.csv`: dense peaks, bandwidth and memory of known accelerators, each with its source and, in `note`, where
two sources differ (`vbench.analysis.accelerators`).
"""

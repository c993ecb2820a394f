"""Records to tables and verdicts: pure functions that need neither torch nor the models' code."""

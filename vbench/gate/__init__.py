"""The regression gate: counted figures and degrees now, and timed cells against a git revision.

Knows the rooms that certify and compare. What is a regression is said here; what changed, by `analysis.baseline`.
"""

from vbench.gate.counted import catalog_counts as catalog_counts
from vbench.gate.counted import catalog_degrees as catalog_degrees
from vbench.gate.timed import TimedCell as TimedCell
from vbench.gate.timed import time_against as time_against

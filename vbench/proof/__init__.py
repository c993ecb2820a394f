"""The conduct of a proof: asks `measure` for counts, predicted peaks and times, and `analysis` for what follows.

Knows both, which do not know each other.
"""

from vbench.proof.certification import certify as certify
from vbench.proof.certification import certify_each as certify_each
from vbench.proof.certification import degrees as degrees
from vbench.proof.evidence import complete_certificates as complete_certificates
from vbench.proof.evidence import complete_frame as complete_frame
from vbench.proof.evidence import judge_by_counts as judge_by_counts
from vbench.proof.evidence import pairs_wanted as pairs_wanted
from vbench.proof.timing import check_timeable as check_timeable
from vbench.proof.timing import with_latency as with_latency

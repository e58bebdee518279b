"""What is said of these networks, as experiments that anyone can run again.

claim.py         what a claim and a unit of its measurement are
tasks.py         the data; learning.py  the networks and how they are trained; cells.py  the ablated cells
convolution.py, pooling.py, memory.py, gradients.py, gates.py, gru.py, activation.py, uses.py
                 the claims, a family each: what is measured, the threshold, what it says
judgement.py     intervals over seeds, and the verdict
runner.py        measures what is not there yet, unit by unit; a unit's result is a file of its own
charts.py, page.py, terminal.py   the figures, the page, the table
"""

from pellucid.lab.claims.claim import Claim
from pellucid.lab.claims.registry import claims, named
from pellucid.lab.claims.runner import read, run

__all__ = ["Claim", "claims", "named", "read", "run"]

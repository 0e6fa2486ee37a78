"""Is this teacher worth its money? A few calls that tell, before the many are spent.

The same pictures are shown for the same query in two orders, and for another query in the first order (`questions`).
A teacher worth asking says the same in both orders, and something else for the other query (`statistics`).
"""

from vdistill.label.audit.run import LEAST_CALLS, Audit, audit, stored_size

__all__ = ["LEAST_CALLS", "Audit", "audit", "stored_size"]

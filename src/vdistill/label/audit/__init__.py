"""Is this teacher worth its money? A few calls that tell, before many are paid for.

The same images are shown for the same query in two orders, and for another query in the first order (`questions`).
A teacher that is worth asking says the same in both orders, and something else for the other query (`statistics`).
"""

from vdistill.label.audit.findings import Audit
from vdistill.label.audit.teacher_audit import LEAST_CALLS, audit_teacher, stored_size

__all__ = ["LEAST_CALLS", "Audit", "audit_teacher", "stored_size"]

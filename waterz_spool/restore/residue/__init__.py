"""The second look at a restored place: whether some of the overlay is left there."""

from waterz_spool.restore.residue.looking import look
from waterz_spool.restore.residue.verdict import rank

__all__ = ["look", "rank"]

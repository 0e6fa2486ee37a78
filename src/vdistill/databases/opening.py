"""Which module a database's address belongs to: a third engine is its module, a branch here and a form of address."""

from __future__ import annotations

from vdistill.databases.address import Address
from vdistill.databases.engine import Database
from vdistill.errors import VdistillError


def open_database(address: Address, *, reading: bool) -> Database:
    """The database at an address. Raises VdistillError where its package is missing, or it cannot be opened.

    reading: nothing is made that is not there.
    """
    if address.engine == "postgresql":
        from vdistill.databases.postgresql import PostgreSQL

        return PostgreSQL.open(address)
    from vdistill.databases.qdrant import Qdrant
    from vdistill.databases.qdrant_connection import exists

    if reading and not exists(address):
        raise VdistillError(f"there are no vectors in {address.shown}", hint="run `vdistill index --to` first")
    return Qdrant.open(address)

"""`--quick` of the benchmarks that need a shop: a small number of calls where it has been made, else one line."""

import os
import sys
from pathlib import Path

from commands import EXAMPLE

SHOP = Path(os.environ.get("MADE_SHOP", EXAMPLE))  # the tests have a small one


def require(shop: Path = SHOP, *files: str) -> None:
    """End with one line and exit code 0 where the shop has not been made here."""
    missing = [name for name in ("backbone", "catalog", "queries.jsonl", *files) if not (shop / name).exists()]
    if missing:
        print(f"not run: {shop} has no {missing[0]}; `sh examples/gift_shop/demo.sh` makes it")
        sys.exit(0)

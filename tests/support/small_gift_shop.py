"""The example's gift shop with a third of its products, as the demo leaves it: `python small_gift_shop.py FOLDER`.

For what only has to run: its backbone is a tiny CLIP of random weights, and its student has seen each judgment once.
"""

import os
import shutil
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gift_shop"
STEPS = (
    ["label", "--budget", "1200"],
    ["distill", "--epochs", "1", "--fields", "image", "--keep-anyway"],
    ["index", "--model", "student"],
)


def make(folder):
    """Make it in this process."""
    sys.path.insert(0, str(EXAMPLE))
    import make_shop
    import models
    from vdistill.cli import main

    products, queries = make_shop.products, make_shop.persona_queries
    make_shop.products = lambda kinds: products(kinds)[::3]
    make_shop.persona_queries = lambda stock, seed: queries(stock, seed)[::5]
    make_shop.make(make_shop.STOCKS["gifts"], folder, 7)
    models.clip(folder / "backbone")
    shutil.copy(EXAMPLE / "vdistill.toml", folder)
    os.chdir(folder)
    for step in STEPS:
        if code := main(step):
            sys.exit(code)


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())

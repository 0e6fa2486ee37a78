"""What of the catalog the queries reach, by an index of the backbone."""

import json

from vdistill.index.build import build
from vdistill.inputs.catalog import scan
from vdistill.label.coverage import REACH, coverage_of


def test_images_of_one_product_are_reached_one_by_one(workspace, catalog, encoder):
    table = catalog / "metadata.jsonl"
    rows = [json.loads(line) | {"sku": "the only one"} for line in table.read_text().splitlines()]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    build(workspace, scan(catalog), encoder, "backbone")
    found = coverage_of(workspace, scan(catalog).items)
    found.add(["a red mug"])
    assert len(found.reached) == REACH

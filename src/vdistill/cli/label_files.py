"""`vdistill label --export` and `--import`."""

from pathlib import Path

from vdistill.cli import console
from vdistill.cli.session import Session
from vdistill.database import Database
from vdistill.inputs import catalog as catalogs
from vdistill.inputs import queries
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.sides import Sides
from vdistill.label.exchange.export import export_judgments
from vdistill.label.exchange.importing import Importer
from vdistill.label.paraphrase import keep_given
from vdistill.label.run import LabelReport, remember_split
from vdistill.label.settings import LabelSettings


def export_file(session: Session, path: Path, *, as_json: bool) -> None:
    """Write what is stored."""
    with Database.open(session.require().database, write=False) as database:
        judgments = database.keyed_judgments()
    rows = export_judgments(judgments, path)
    console.facts("exported", {"file": str(path), "judgments": len(judgments), "rows": rows}, as_json=as_json)


def import_file(session: Session, path: Path, settings: LabelSettings, *, as_json: bool) -> None:
    """Store what a file says."""
    catalog = catalogs.scan(settings.catalog)
    workspace = session.create()
    with Hashes.open(workspace.cache) as cache:
        hashes = cache.of(catalog.items, session.say)
    with workspace.lock("label"), Database.open(workspace.database) as database:
        sides = Sides.read(database, settings.holdout)
        given = queries.load(settings.queries, sides) if settings.queries else []
        importer = Importer(
            items={item.id: item for item in catalog.items},
            hashes=hashes,
            known=database.queries() if sides.queries else [],
            given=given,
            sides=sides,
            teacher=f"import:{path.name}",
        )
        found = importer.import_judgments(path)
        remember_split(database, settings)
        before = database.judgment_count()
        judged = {judgment.query for _, _, judgment in found.judgments}
        database.add_queries([query for query in given if query.text in judged])
        database.add_queries(found.queries.values())
        database.add_item_sides(found.sides)
        database.add_judgments(found.judgments)
        added = database.judgment_count() - before
        keep_given(database, [query for query in given if query.text in judged], session.say)
    for reason, count in found.left_out.items():
        session.say(f"left out: {count:,} {reason}")
    report = LabelReport(
        teacher=f"import:{path.name}",
        queries=len(judged),
        items=len({item for _, _, judgment in found.judgments for item in judgment.items}),
        judgments=added,
        reused=len(found.judgments) - added,
    )
    summary = report.to_json()
    if not as_json:
        del summary["skipped"]  # nothing is left out for its image here
    console.facts("imported", summary, as_json=as_json)

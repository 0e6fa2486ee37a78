"""`vdistill.db`, one SQLite file: what was asked, what was answered, and what was paid.

database.py     settings, queries, sides and judgments (as rows: rows.py);  opening.py  read-only, and SQLite's errors
paraphrases.py  other wordings of queries;  batch_jobs.py  jobs of batch APIs;  people.py  what people said beside
migrations.py   the schema, version by version
"""

from vdistill.database.database import Database

__all__ = ["Database"]

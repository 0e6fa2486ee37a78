"""Indexes whose items tell of which model they are, pushes in processes of their own, and a reader meanwhile."""

import subprocess
import sys
import threading
import time
import traceback
from dataclasses import replace

import numpy as np

from indexes import unit, write_index
from postgres_servers import until
from vdistill.bundle import manifest
from vdistill.bundle.fit import FitModel
from vdistill.databases.address import parse
from vdistill.databases.opening import open_database
from vdistill.databases.search import DatabaseSearcher
from vdistill.query.retrieval import SearchOptions

DIM, K = 32, 10
OPTIONS = SearchOptions(where="n >= 100")
FITS = {"a": 0.2, "b": 0.8}  # of all hits of a model, about
# Prints how many items are stored, 0 at first and then after each batch: what the server has acknowledged.
PUSH = """
import json
import sys
from pathlib import Path
from vdistill.bundle.store import Store
from vdistill.databases.address import parse
from vdistill.databases.push import push
print(0, flush=True)
report = push(Store.open(Path(sys.argv[1]), "student"), "student", parse(sys.argv[2]),
              lambda done, total: print(done, flush=True))
print(json.dumps(report.to_json()))
"""


def index(folder, count, model):
    """An index of a model whose items and fits say which one it is; all vectors differ from model to model."""
    entry = write_index(folder, unit(count, DIM, seed=ord(model)), metadata=lambda n: {"model": model, "n": n})
    fit = FitModel((), (1e-3, 0.0, 0.0, float(np.log(FITS[model] / (1 - FITS[model])))), facts={})
    manifest.write(folder, {"student": replace(entry, model_fingerprint=model, fit=fit.to_json())})
    return folder


def opened(address, folder):
    """A searcher by vectors alone, which needs no text encoder."""
    database = open_database(parse(address), reading=True)
    (version,) = [one for one in database.versions() if one.live]
    return DatabaseSearcher(database, version, folder, manifest.read(folder)["student"])


def answered(searcher, vector):
    """The model of an answer that is complete, of one model, and whose fits are of the same; else what is wrong."""
    hits = searcher.hits(vector, K, OPTIONS, text=True)
    said = {(hit.metadata["model"], round(hit.fit, 1)) for hit in hits}
    right = len(hits) == K and len(said) == 1 and said <= FITS.items()
    return next(iter(said))[0] if right else (len(hits), said)


class Reader(threading.Thread):
    """Asks all along.  longest: seconds that an answer took."""

    def __init__(self, searcher):
        super().__init__(daemon=True)
        self.searcher, self.over = searcher, False
        self.answers, self.longest, self.wrong, self.failed, self.models = 0, 0.0, [], [], []

    def run(self):
        rng = np.random.default_rng(0)
        while not self.over:
            vector = rng.normal(size=DIM).astype(np.float32)
            begun = time.monotonic()
            try:
                found = answered(self.searcher, vector / np.linalg.norm(vector))
            except Exception as error:  # whatever it is, no reader may see it
                self.failed.append("".join(traceback.format_exception(error)))
                continue
            self.longest = max(self.longest, time.monotonic() - begun)
            if found not in FITS:
                self.wrong.append(found)
            elif found not in self.models[-1:]:
                self.models.append(found)
            self.answers += 1

    def more(self, answers):
        """Wait for so many more answers."""
        wanted = self.answers + answers
        until(lambda: self.answers >= wanted or self.wrong or self.failed)

    def stop(self):
        self.over = True
        self.join()
        self.searcher.close()


def start(folder, address):
    """Push an index in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", PUSH, folder, address], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)  # fmt: skip


def until_stored(process, count):
    """Read what it prints until so many items are stored; the number."""
    for line in process.stdout:
        if int(line) >= count:
            return int(line)
    raise AssertionError(process.stderr.read())

"""A catalog in parts for workers, and their vectors as they come."""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from vdistill.bundle.items import Row
from vdistill.cluster.connection import Cluster, cores
from vdistill.cluster.crew import Crew
from vdistill.cluster.embedding_worker import BYTES, EmbeddingWorker, Found, Model, Part, shortened
from vdistill.cluster.jobs import Outcome, Role, hired
from vdistill.cluster.nodes import SLACK, Node, Room
from vdistill.encoders.cpu_copy import PROBES, fields_of, path_for, with_path
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.index.embedding import BATCH, Embedded, Embedder, ImageModel
from vdistill.index.vector_cache import VectorCache
from vdistill.inputs.listings import Skipped
from vdistill.sources import absolute

CORES = 4  # of one worker without a GPU, at most
GPU_BATCHES = 8  # in a part, so that one worker decodes ahead of its GPU
DEATHS = 3  # of workers by one part, until it is cut in two; by one image, until it is left out
WAIT = 1.0  # seconds
DIED = "the worker's process dies of it"


@dataclass(frozen=True)
class OnCluster:
    """Embeds the images below a folder on a cluster.

    The result is that of `Embedder` with the same model, but for the order in which batches come.
    say: gets one-line notices.  manned: gets how many workers there are, in words.
    """

    cluster: Cluster
    say: Callable[[str], None]
    manned: Callable[[str], None] = lambda _: None

    def hire_early(self) -> None:
        """Let the workers of a cluster of this machine start and import while this process loads the model."""
        if self.cluster.engine.address:  # it must be seen first what the nodes run
            return
        nodes = self.cluster.nodes()
        role = _role(nodes)
        for post in role.room(nodes):
            worker = hired(self.cluster, role, post)
            worker.load_code.remote()
            self.cluster.early.append((post, worker))

    def __call__(self, root: str, models: Sequence[ImageModel], vector_cache: VectorCache) -> ClusterEmbedder:
        """As `Embedder` is made."""
        encoder = models[0]
        assert isinstance(encoder, DualEncoder)
        return ClusterEmbedder(self, absolute(root), encoder, vector_cache)  # workers have folders of their own


@dataclass(frozen=True)
class ClusterEmbedder:
    """Hands out parts of the catalog, and takes them back from workers that are lost."""

    on: OnCluster
    root: str
    encoder: DualEncoder
    vector_cache: VectorCache

    def embedded(self, rows: Iterable[Row]) -> Iterator[Embedded]:
        """All rows once, in batches as they come. Raises VdistillError where the cluster cannot go on."""
        given = iter(rows)
        first = list(itertools.islice(given, BATCH))
        if not first:
            return
        role = _role(self.on.cluster.nodes(), 2 * _bytes(self.encoder) + SLACK)
        gpu = role.side_by_side > 1
        with closing(Crew[Part](self.on.cluster, role, self.on.say)) as crew:
            here, put = self._here(first), self.on.cluster.ray.put  # while workers start
            crew.brief(put(_parcel(self.encoder)), put(_known(self.vector_cache)), self.root, here.path, _limit())
            parts = _parts(itertools.chain(first, given), BATCH * (GPU_BATCHES if gpu else 1))
            yield from _HandingOut(crew, here, self.on.manned).of(parts)

    def _here(self, first: Sequence[Row]) -> _Here:
        """This process with the numeric path that suits the first images, as it would be chosen without a cluster."""
        cpu = torch.device("cpu")
        encoder = DualEncoder(**fields_of(self.encoder))
        path = None
        if encoder.device == cpu:
            inputs = Embedder(self.root, [encoder], self.vector_cache).inputs_of_first(first, PROBES)
            path = path_for(encoder, inputs) if inputs else None
        return _Here(self.root, encoder, self.vector_cache, path)


def _role(nodes: Sequence[Node], memory: int = 0) -> Role:
    """What workers are. memory: bytes that each needs."""
    room = Room(CORES, memory)
    gpu = any(post.gpus for post in room(nodes))
    side_by_side = 2 if gpu else 1  # one part is decoded while the GPU works on another
    return Role(EmbeddingWorker, "embed", room, 1 + side_by_side, side_by_side)


def _limit() -> int | None:
    """How many threads somebody allows this process (OMP_NUM_THREADS); workers keep to it, too. None for all cores."""
    threads = torch.get_num_threads()
    return threads if threads < cores() else None


@dataclass(frozen=True)
class _Here:
    """What this process embeds itself: images that a worker cannot read, which may be the worker's fault."""

    root: str
    encoder: DualEncoder
    vector_cache: VectorCache
    path: str | None

    @cached_property
    def embedder(self) -> Embedder:
        """Made when it is needed: a copy of the model on its path takes seconds that workers could use to start."""
        return Embedder(self.root, [with_path(self.encoder, self.path)], self.vector_cache)


class _HandingOut:
    def __init__(self, crew: Crew[Part], here: _Here, manned: Callable[[str], None]) -> None:
        self._crew, self._here, self._manned = crew, here, manned
        self._again: deque[Part] = deque()

    def of(self, parts: Iterator[Part]) -> Iterator[Embedded]:
        """Embed all parts: no more of them are taken than workers can hold."""
        crew, over = self._crew, False
        while True:
            while crew.free > 0 and not (over and not self._again):
                part = None if over else next(parts, None)
                over = part is None
                if part is None and self._again:  # last, so that what kills workers does not keep the rest waiting
                    part = self._again.popleft()
                if part is not None:
                    crew.give(part)
            if over and not self._again and not crew.busy:
                return
            for outcome in crew.outcomes(WAIT):
                yield from self._taken(outcome)
            self._manned(crew.describe())

    def _taken(self, outcome: Outcome[Part]) -> Iterator[Embedded]:
        if outcome.lost:
            again, hopeless = _after(outcome.job, blamed=outcome.blamed)
            self._again += again
            if hopeless:
                yield Embedded([], [], hopeless)
            return
        found: Found = outcome.found
        rows = {row.key: row for row in outcome.job.rows}
        vectors = iter(found.vectors)
        yield Embedded(
            [replace(rows[key], sha256=sha256) for key, sha256 in found.keys],
            [next(vectors) if new else None for new in found.new],
            [one for one in found.skipped if not one.passing],
        )
        unread = {one.id for one in found.skipped if one.passing}
        if unread:
            yield from self._read_here(outcome, [row for row in rows.values() if row.id in unread])

    def _read_here(self, outcome: Outcome[Part], rows: Sequence[Row]) -> Iterator[Embedded]:
        """Try in this process what a worker could not read; where it could read nothing, its node is left out."""
        read = 0
        for batch in self._here.embedder.embedded(rows):
            read += len(batch.rows)
            yield batch
        if read and len(rows) == len(outcome.job.rows):
            self._crew.leave_out(outcome.node, f"it does not see the catalog: {outcome.found.skipped[0].reason}")


def _after(part: Part, *, blamed: bool) -> tuple[list[Part], list[Skipped]]:
    """What is to be handed out again after a worker was lost, and what is given up."""
    if not blamed:
        return [part], []
    if part.deaths + 1 < DEATHS:
        return [replace(part, deaths=part.deaths + 1)], []
    if len(part.rows) == 1:
        return [], [Skipped(part.rows[0].id, DIED, passing=True)]
    half = len(part.rows) // 2  # the next death cuts again, but an image alone has two chances
    halves = part.rows[:half], part.rows[half:]
    return [Part(rows, DEATHS - (1 if len(rows) > 1 else 2)) for rows in halves], []


def _parts(rows: Iterable[Row], size: int) -> Iterator[Part]:
    """Parts of so many rows, without what a worker does not need."""
    given = iter(rows)
    while part := list(itertools.islice(given, size)):
        yield Part([replace(row, metadata="") for row in part])


def _parcel(encoder: DualEncoder) -> Model:
    """The encoder as it travels."""
    on_gpu = not encoder.on_cpu
    model = copy.deepcopy(encoder.model).to("cpu") if on_gpu else encoder.model
    return Model(encoder.source, model, encoder.preprocessing, encoder.precision, on_gpu, encoder.layout)


def _bytes(encoder: DualEncoder) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in encoder.model.state_dict().values())


def _known(vector_cache: VectorCache) -> np.ndarray:
    """The hashes of all images that have vectors, as `Known` takes them: 16 bytes each."""
    kind = f"S{BYTES}"
    parts = [np.array([shortened(sha256) for sha256 in part], kind) for part in vector_cache.images()]
    found = np.concatenate(parts) if parts else np.zeros(0, kind)
    found.sort()
    return found

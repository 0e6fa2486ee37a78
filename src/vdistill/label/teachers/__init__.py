"""Who can be asked: `open_teacher` turns what `--teacher` says into a Teacher (the protocol is `label/teacher.py`).

    metadata.py, table.py    teachers without a model of images: the items' text; a file of scores
    openai_api.py            any server with the OpenAI chat API
      chat_endpoint.py       its address and key;  chat_route.py  the proxy and certificates on the way
      chat_http.py           requests and retries; chat_replies.py  a response as a document or an error
      endpoints.py           several servers that share the questions
      chat_terms.py          which fields of a request the server refuses, learnt and remembered
      chat_bills.py          what a completion costs;  chat_batches.py  many questions in a file, answered later
      chat_answers.py        the letters and probabilities in a completion
    local_vlm.py             a vision-language model in this process
      vlm_loading.py         opens its files, and says what is missing
      vlm_processor.py       images and text as tensors; vlm_template.py  the prompt in its chat template
      vlm_thoughts.py        what it thinks before it answers
      vlm_cost.py            tokens and seconds of a call, before the weights are there
    rerank_server.py         a reranker on a server
    vlm_reranker.py          one in this process;  vlm_rerank_layouts.py  those that are known;  scores.py  answers
    both models share        options.py, model_names.py, model_images.py, letter_mass.py

A teacher of another package is a plug-in: its entry point is in the group `vdistill.teachers`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.label.settings import KINDS, PERSON
from vdistill.label.teacher import Teacher
from vdistill.label.teachers.model_names import ALIASES
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Item

GROUP = "vdistill.teachers"


def open_teacher(spec: str, options: TeacherOptions, items: Sequence[Item], say: Callable[[str], None]) -> Teacher:
    """The teacher that `spec` names: `metadata`, `table:FILE`, an alias, a model id or folder, or `openai:MODEL`.

    With an endpoint any other name is a model on that server, unless it is a plug-in's. Raises VdistillError for an
    unknown name, with the close ones.
    """
    kind, _, rest = spec.partition(":")
    if kind == "table" and rest:
        from vdistill.label.teachers.table import TableTeacher

        return TableTeacher(Path(rest))
    if kind == PERSON:
        raise VdistillError(
            "a person is asked by `vdistill label` alone", hint="run `vdistill label --teacher me` first"
        )
    if kind == "metadata":
        from vdistill.label.teachers.metadata import MetadataTeacher

        return MetadataTeacher(items, rest or None, say)
    if kind == "rerank" and rest:
        return _reranker(rest, options, say)
    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if kind in plugins:
        return _from_plugin(plugins[kind], rest)
    if options.endpoint is not None or kind == "openai" or options.offline:
        from vdistill.label.teachers.openai_api import OpenAITeacher

        return OpenAITeacher(rest if kind == "openai" else spec, options, say=say)
    if spec not in ALIASES and not Path(spec).is_dir():
        _check_hub_id(spec, list(plugins))
    from vdistill.label.teachers.local_vlm import LocalVLM

    return LocalVLM(ALIASES.get(spec, spec), options, say=say)


def _reranker(model: str, options: TeacherOptions, say: Callable[[str], None]) -> Teacher:
    if options.endpoint is not None:
        from vdistill.label.teachers.rerank_server import RerankServer

        return RerankServer(model, options, say=say)
    if not Path(model).is_dir():
        _check_hub_id(model, ())
    from vdistill.label.teachers.vlm_reranker import LocalReranker

    return LocalReranker(model, options, say=say)


def _from_plugin(plugin: EntryPoint, rest: str) -> Teacher:
    """Another package's teacher. Raises VdistillError, naming the plug-in, for whatever goes wrong in its code."""
    try:
        teacher = plugin.load()(rest)
    except VdistillError:
        raise
    except Exception as error:
        raise VdistillError(
            f"the plug-in {plugin.name!r} ({plugin.value}) failed: {type(error).__name__}: {error}",
            hint="fix or uninstall its package; --debug shows where it failed",
        ) from error
    if not isinstance(teacher, Teacher):
        raise VdistillError(f"the plug-in {plugin.name!r} did not return a Teacher", hint="see docs/teachers.md")
    return teacher


def _check_hub_id(spec: str, plugins: Sequence[str]) -> None:
    """Raise VdistillError for what cannot be a model id: a folder that is not there, or a name without an owner."""
    if spec.startswith(("/", ".", "~")) or spec.count("/") > 1:
        parent = Path(spec).parent
        folders = [folder.name for folder in parent.iterdir() if folder.is_dir()] if parent.is_dir() else []
        close = difflib.get_close_matches(Path(spec).name, folders, n=1)
        hint = f"did you mean {parent / close[0]}?" if close else "give the folder of a model, or its id (owner/name)"
        raise VdistillError(f"no folder {spec}", hint=hint)
    if "/" not in spec or ":" in spec:
        raise _unknown(spec, plugins)


def _unknown(spec: str, plugins: Sequence[str]) -> VdistillError:
    known = [*KINDS, *ALIASES, *plugins]
    kinds = {name.partition(":")[0]: name for name in reversed(known)}
    close = difflib.get_close_matches(spec, known, n=3, cutoff=0.5)
    close = close or [kinds[kind] for kind in difflib.get_close_matches(spec.partition(":")[0], kinds, n=1)]
    asked = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}."
    return VdistillError(f"unknown teacher {spec!r}", hint=f"{asked} A model id (owner/name) or a folder works too")

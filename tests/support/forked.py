"""Commands in processes of their own that load nothing: each is forked from one process that has loaded torch.

For tests that kill many processes, or limit one: of a process that starts from nothing most of the time is imports.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
from pathlib import Path

from command_line import Done

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["torch", "peft", "scipy.optimize", "transformers.models.auto.processing_auto",
     "transformers.models.clip.modeling_clip", "transformers.models.clip.tokenization_clip", "vdistill.cli.app",
     "vdistill.cli.label_task", "vdistill.distill.run", "vdistill.index.build", "vdistill.index.embedding",
     "vdistill.index.onnx_export", "vdistill.label.run", "vdistill.query.search"]
)  # fmt: skip


def start(*arguments, cwd, most=None, streams=os.devnull):
    """Start `vdistill`, its output in the file `streams`.  most: bytes that it may write to a file."""
    process = _CONTEXT.Process(
        target=_run, args=([str(one) for one in arguments], str(cwd), dict(os.environ), most, str(streams)), daemon=True
    )
    process.start()
    return process


def vdistill_forked(*arguments, cwd, most=None, timeout=300) -> Done:
    """Run it to its end; `err` has what it wrote to either stream."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        process = start(*arguments, cwd=cwd, most=most, streams=said)
        process.join(timeout)
        assert process.exitcode is not None, "it hangs"
        return Done(process.exitcode, "", said.read_text(encoding="utf-8"))


def _run(arguments, cwd, environment, most, streams):
    os.chdir(cwd)
    os.environ.update(environment)
    file = os.open(streams, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    from vdistill.cli import main

    sys.exit(main(arguments))

"""Commands in processes of their own that load nothing: each is forked from one process that has loaded torch.

For tests that kill many processes, or limit one: of a process that starts from nothing most of the time is imports.
"""

import multiprocessing
import os
import resource
import runpy
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
    return _start(_command, arguments, cwd, most, streams)


def vdistill_forked(*arguments, cwd, most=None, timeout=500) -> Done:
    """Run it to its end; `err` has what it wrote to either stream."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        return _done(start(*arguments, cwd=cwd, most=most, streams=said), said, timeout)


def start_script(path, *arguments, cwd, streams, environment=None):
    """Start a Python script, or a module by its name, its output in the file `streams`. environment: what is added."""
    run = _script if Path(path).suffix == ".py" else _module
    return _start(run, (path, *arguments), cwd, None, streams, environment)


def script_forked(path, *arguments, cwd, timeout=500, environment=None) -> Done:
    """Run a Python script to its end; `err` has what it wrote to either stream. environment: what is added."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        return _done(_start(_script, (path, *arguments), cwd, None, said, environment), said, timeout)


def _start(run, arguments, cwd, most, streams, environment=None):
    words = [str(one) for one in arguments]
    variables = {**os.environ, **(environment or {})}
    process = _CONTEXT.Process(target=_run, args=(run, words, str(cwd), variables, most, str(streams)))
    process.daemon = run is _command  # it dies with a test that failed; a script may start processes, so it may not
    process.start()
    return process


def _done(process, said, timeout):
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"it hangs: {said.read_text(encoding='utf-8')}")
    return Done(process.exitcode, "", said.read_text(encoding="utf-8"))


def _run(run, arguments, cwd, environment, most, streams):
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(streams, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    sys.exit(run(arguments))


def _command(arguments):
    from vdistill.cli import main

    return main(arguments)


def _script(arguments):
    global _CONTEXT
    _CONTEXT = multiprocessing.get_context("fork")  # it has loaded what those have that it starts
    sys.argv[:] = arguments
    sys.path.insert(0, str(Path(arguments[0]).parent))
    runpy.run_path(arguments[0], run_name="__main__")


def _module(arguments):
    sys.argv[:] = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)

"""Write docs/cli.md from the commands themselves; a test checks that it is up to date."""

from pathlib import Path
from typing import Any

from vdistill.cli.app import program
from vdistill.cli.command import COMMON

HEAD = """# Command line

Written by `make docs` from the commands; change it there.

Every option can also be set in `vdistill.toml` under its long name, and as an environment variable
`VDISTILL_<OPTION>`. A flag wins over the environment, that over the file, that over what the workspace remembers, and
that over the default. Paths in the file are relative to it; URLs and names of models stay as they are. Everywhere:
`--workspace DIR`, `--quiet`, `--debug`, `--version`, `--help`. `vdistill --install-completion` teaches your shell the
commands and their options.

Exit codes: 0 done; 1 failed (one line `error: …`, one line `hint: …`); 2 wrong usage; 3 a gate of `bench` was not met,
or `distill` published no student because it was worse than the backbone; 130 interrupted (all finished work is kept).
"""


def render() -> str:
    """The whole reference as Markdown."""
    return "\n".join([HEAD, *(_command(name, found) for name, found in program().commands.items())])


def _command(name: str, found: Any) -> str:
    options = [parameter for parameter in found.params if parameter.name not in COMMON and parameter.name != "help"]
    argument = next((f" [{p.name.upper()}]" for p in options if p.param_type_name == "argument"), "")
    rows = [f"| `{_names(parameter)}` | {_default(parameter)} | {parameter.help or ''} |" for parameter in options]
    return "\n".join(
        [f"## vdistill {name}{argument}", "", found.help, "", "| option | default | |", "|---|---|---|", *rows, ""]
    )


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    names = ", ".join(sorted(parameter.opts, key=len))
    return f"{names} {parameter.metavar}" if parameter.metavar else names


def _default(parameter: Any) -> str:
    value = getattr(parameter.default, "value", parameter.default)
    if value is None or value is False:
        return parameter.show_default if isinstance(parameter.show_default, str) else ""
    return f"`{value}`"


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(render(), encoding="utf-8")

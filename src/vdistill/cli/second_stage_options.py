"""The options of a second stage that `query` and `serve` share."""

from functools import partial
from typing import Annotated

import typer

from vdistill.cli.config import Meaning

second = partial(typer.Option, rich_help_panel="Second stage")

StageTeacherOption = Annotated[
    list[str] | None, Meaning.TEACHER, second(help="The teacher that orders them.", show_default="as for label")
]
StageEndpointOption = Annotated[
    list[str] | None, second(help="Endpoint of that teacher.", metavar="URL", show_default="as for label")
]
StageCallsOption = Annotated[
    int | None, second(min=1, help="Maximum calls about one search.", show_default="5 for 24 results")
]

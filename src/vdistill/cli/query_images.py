"""`query --show`: the images of results below the table, in a terminal."""

from collections.abc import Sequence
from typing import Any

from vdistill.cli import console
from vdistill.errors import VdistillError
from vdistill.records import Hit


def show_images(hits: Sequence[Hit]) -> None:
    """Show them, by the terminal's own protocol or as coloured half blocks."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    from vdistill.errors import ImageError
    from vdistill.images import load

    try:
        from textual_image.renderable import Image
    except ImportError as error:
        raise VdistillError("showing images needs one more package", hint="pip install 'vdistill[show]'") from error
    cells: list[Any] = []
    for hit in hits:
        caption = Text(
            f"{hit.rank}. {console.printable(str(hit.metadata.get('title') or hit.id))}", overflow="ellipsis"
        )
        try:
            cells.append(Group(Image(load(hit.source, 240), width=24, height=12), caption))
        except ImageError as error:
            cells.append(Group(Text(f"[{error.message}]"), caption))
    console.result(Columns(cells, width=26))

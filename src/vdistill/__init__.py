"""vdistill: a vision-language model's judgment, distilled into a dual encoder that searches in milliseconds."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Searcher", "Term", "__version__"]

if TYPE_CHECKING:
    from vdistill.query.search import Searcher
    from vdistill.query.terms import Term


def __getattr__(name: str) -> Any:
    """The public names of the library, imported when they are first asked for: `vdistill --help` needs none."""
    if name == "Searcher":
        from vdistill.query.search import Searcher

        return Searcher
    if name == "Term":
        from vdistill.query.terms import Term

        return Term
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

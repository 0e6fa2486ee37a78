"""Formulas between dollar signs as MathML: pages show them without a script, and without asking anybody."""

import re
import xml.etree.ElementTree as ET
from typing import Any

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

INLINE = r"(?<!\$)\$([^$\n]+(?:\n[^$\n]+)?)\$(?!\$)"  # a formula may go over the end of a line


class _Inline(InlineProcessor):
    """`$…$` within a sentence."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:  # type: ignore[override]
        return self.md.htmlStash.store(convert(m[1])), m.start(0), m.end(0)


class _Block(BlockProcessor):
    """`$$…$$` as a paragraph of its own."""

    def test(self, parent: ET.Element, block: str) -> bool:
        return block.strip().startswith("$$") and block.strip().endswith("$$")

    def run(self, parent: ET.Element, blocks: list[str]) -> None:
        formula = convert(blocks.pop(0).strip().strip("$"), display="block")
        ET.SubElement(parent, "p").text = self.parser.md.htmlStash.store(formula)


class Formulas(Extension):
    """Both."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Register them."""
        md.inlinePatterns.register(_Inline(INLINE, md), "formula", 185)
        md.parser.blockprocessors.register(_Block(md.parser), "formula", 90)


def makeExtension(**options: Any) -> Formulas:
    """What Markdown looks for."""
    return Formulas(**options)

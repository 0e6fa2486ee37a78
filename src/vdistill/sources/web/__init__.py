"""Images from web servers, asked for politely: at a pace, within robots.txt, and never twice for the same."""

from vdistill.sources.web.session import Web, web

__all__ = ["Web", "web"]

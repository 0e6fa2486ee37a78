"""Stage three, `vdistill index`: embeds what changed in the catalog, and publishes it as a new bundle."""

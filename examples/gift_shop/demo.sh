#!/bin/sh
# The gift shop from nothing: draw it, put its small CLIP together, let the simulated shoppers judge, distill, compare, search.
# Run by `make demo`, or by hand where vdistill[demo] is installed.
set -eu
cd "$(dirname "$0")"

step() { printf '\n== %s\n' "$*"; }

step "drawing the shop (products, queries, simulated shoppers), and assembling its backbone, a small CLIP that knows
   literal titles only"
python make_backbone.py &
backbone=$!
python make_shop.py
wait "$backbone"
step "vdistill label      (the teacher is a table of simulated shoppers)"
vdistill label
step "vdistill distill"
vdistill distill
step "vdistill bench      (unseen queries on unseen products, judged by the shop's hidden attributes)"
vdistill bench --report report.html
step "vdistill query 'gift for a mother who loves gardening'"
vdistill query "gift for a mother who loves gardening" -k 5 --gallery gallery.html
printf '\ngallery page: %s\nreport page:  %s\n' "$PWD/gallery.html" "$PWD/report.html"

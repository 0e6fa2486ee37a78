#!/bin/sh
# Train on the judgments at hand, and fail (exit code 3) where the new student is worse than the one in use.
#
#   sh examples/ci/bench.sh WORKSPACE BASELINE.json
#
# WORKSPACE: a .vdistill folder with judgments.  BASELINE.json: a run kept by an earlier `vdistill bench`; the first
# run, without one, writes it.
set -eu
workspace=$1
baseline=$2

vdistill distill --workspace "$workspace" --quiet
if [ ! -f "$baseline" ]; then
    vdistill bench --workspace "$workspace" --quiet
    cp "$(ls "$workspace"/reports/runs/*.json | tail -n 1)" "$baseline"
    echo "no baseline yet: this run is it"
    exit 0
fi
vdistill bench --workspace "$workspace" --no-worse-than "$baseline" --fail-under literal_recall@10=0.9 --junit bench.xml

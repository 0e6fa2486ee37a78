"""`label --batch`: a round of questions is submitted as jobs, and collected by the same command later.

rounds.py    what can be asked before any answer is in
files.py     the requests of a job
servers.py   jobs on a server;  local_files.py  jobs that are files, for `vllm run-batch`
results.py   what came back
run.py       collects what is there, plans the next round, submits it
"""

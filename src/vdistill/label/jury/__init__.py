"""Several teachers who share a budget: `label --teacher A --teacher B`.

core.py       a few questions that every teacher is asked;  planning.py  these, and the plan of the calls that are left
shares.py     what the core showed, and who gets how many of those
seats.py      who is asked a question, and who if that one is gone
parts.py      what teachers of one kind are asked after the core: scores first, then comparisons
members.py    the teachers of a jury, and the jury as one teacher to plan with
asking.py     asks all of them at once, within one purse; a teacher that is gone hands its questions on
report.py     who did what, for the report
run.py        a run from end to end;  dry_run.py  what it would be
"""

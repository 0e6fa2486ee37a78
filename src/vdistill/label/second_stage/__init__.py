"""`--rerank`: the first hits of a search are shown to a teacher, and ordered by what it says and what the student said.

plan.py       which images are shown together, and the order that follows from the answers
stores.py     where answers are kept: what may be trained on among the judgments, all else apart from them
judging.py    one search: plan, ask, store
allowance.py  what all searches of a server may cost together
live.py       many searches at once, each within its time
"""

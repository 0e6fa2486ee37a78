"""Work for a Ray cluster: images are embedded, and a vision-language model is asked, by many processes at once.

    engine.py                what `--engine` says;  connection.py  the cluster in use;  quiet.py  without its words
    nodes.py                 its nodes, what runs there, and where workers have room
    jobs.py                  who works on what;  failures.py  what goes wrong, in words
    crew.py                  the workers: hired, given jobs, replaced when they die
    embedding.py             `index`: parts of the catalog for workers (embedding_worker.py) that decode and embed
    teacher.py               `label`: questions for workers (teacher_worker.py) that have a model each

Only this package knows Ray, which is imported when a cluster is asked for (the extra `ray`).
"""

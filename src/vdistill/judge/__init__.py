"""People as teachers: the judge page, which `vdistill label --teacher me` serves on this machine."""

"""What a user hands in becomes items and queries, each on its side of the held-out split."""

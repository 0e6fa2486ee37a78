"""What the student gained and what it kept, in figures."""

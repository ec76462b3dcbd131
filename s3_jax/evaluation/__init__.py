"""Numbers of a run: scores, rankings, counts, intervals, diagnoses."""

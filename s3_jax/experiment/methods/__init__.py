"""The methods of runs by name, one table for each kind of run."""

"""The machine of a run: platform, processes, versions, compiled programs."""

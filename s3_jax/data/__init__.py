"""Images and labels: data sets, readers, and the embedded world."""

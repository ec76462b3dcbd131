"""What a config may ask for: a module or a package for each task."""

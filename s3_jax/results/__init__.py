"""Result files, tables and figures of a run: numbers in, documents out."""

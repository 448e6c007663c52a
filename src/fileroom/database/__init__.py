"""All SQL: rows in and out as values. The two dialects differ here and nowhere else."""

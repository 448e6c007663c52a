"""Bulk movement between buckets and the archive."""

"""Bytes at ``gs://``, ``s3://``, ``az://`` and local buckets.

A *bucket* holds *objects*; an object has a *key*, a size and a *version*, which changes whenever
its bytes do. Keys are ordered by their UTF-8 bytes, as every listing is.
"""

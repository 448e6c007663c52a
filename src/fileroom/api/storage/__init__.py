"""The part of Cloud Storage's JSON API that fills and reads the configured buckets."""

"""What rows mean, as frozen values: free of SQL, so that a worker process loads none of it."""

"""Long-running operations: their account, and the runner that claims and resumes them."""

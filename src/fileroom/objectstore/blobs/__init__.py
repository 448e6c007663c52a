"""Where the archive keeps its own bytes: a directory of this machine, or a bucket in a cloud."""

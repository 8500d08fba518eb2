"""`make bench`: figures beside a plain Job in the same run, never timed tests."""

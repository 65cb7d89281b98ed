"""What the stages agree on: the request of a job, and plans and segments' jobs as they lie in the spool."""

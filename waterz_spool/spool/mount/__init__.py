"""What can be found out about the file system of a spool, and what follows from it."""

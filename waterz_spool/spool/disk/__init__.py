"""How the spool touches a file system: one seam of operations, put-if-absent, time, crash points."""

"""A worker in a spool: finding work, claiming it, living, dying, succeeding others."""

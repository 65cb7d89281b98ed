"""Getting jobs into a spool and workers onto machines."""

"""Getting workers onto machines, and following what they work on."""

"""The loop that claims tasks and works on them, what an error in it means, and what it logs."""

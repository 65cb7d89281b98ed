"""The three stages of a job, and the loop that claims them."""

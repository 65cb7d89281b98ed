"""What lies in a job and what it means: names, records, and the states that follow from them."""

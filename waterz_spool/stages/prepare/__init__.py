"""From a video and a request to a plan and the inputs of every segment."""

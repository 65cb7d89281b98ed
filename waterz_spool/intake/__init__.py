"""How a video comes in: from the command line or Python, a URL or the watched folder, into a spool as a job."""

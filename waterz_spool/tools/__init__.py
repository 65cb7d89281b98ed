"""Commands that launch nothing: doctor, detect, training, reports, the demo's clip."""

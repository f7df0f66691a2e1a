"""One file per kind of model or data. Optional dependencies are imported inside the file that needs them."""

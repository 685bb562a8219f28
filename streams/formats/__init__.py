"""Other programs' files: an importer or exporter a file."""

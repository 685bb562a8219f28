"""What a person asks for: dead letters, reconciling, rating files."""

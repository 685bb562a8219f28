"""What every room stands on: settings, metrics, the book in force, fault points."""

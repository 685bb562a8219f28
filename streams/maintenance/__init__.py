"""What runs by the clock: recurring charges, conflicts, parked events, the audit."""

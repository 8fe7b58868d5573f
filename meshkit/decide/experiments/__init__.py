"""The comparison of two experiments, which did not run side by side. No clock and no measurement here."""

"""Checks of Istio's objects, as questions to their meaning; no rule of Istio is repeated here."""

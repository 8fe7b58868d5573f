"""A mesh at a glance: one reading of its calls, findings, certificates and versions. Changes nothing."""

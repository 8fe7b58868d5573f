"""The guided path from an empty cluster to a mesh with strict mutual TLS, stage by stage. No widgets."""

"""Tell others about a release: Kubernetes Events on what it releases, and a webhook."""

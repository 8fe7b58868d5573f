"""Checks of who may call whom, and over which kind of TLS: PeerAuthentications and AuthorizationPolicies."""

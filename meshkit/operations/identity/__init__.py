"""Creation and rotation of a mesh's trust anchor and issuer. No widgets."""

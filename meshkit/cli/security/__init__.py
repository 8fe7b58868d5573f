"""The commands about who may call whom: the mesh's identity, and access rules."""

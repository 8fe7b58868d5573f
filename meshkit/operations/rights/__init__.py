"""The permissions that operations need: those to install a mesh, and the roles for everyday verbs."""

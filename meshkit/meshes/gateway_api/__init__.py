"""Gateway API routes and their meaning, which all meshes share."""

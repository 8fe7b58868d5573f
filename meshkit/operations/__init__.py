"""Operations on a mesh: everything that plans, changes or observes a cluster on behalf of the user.

change.py plans, applies, undoes and lists changes for every intent; plan.py has the types that it returns;
release/ has the loop of a release; shop.py has the demo's application. Not in this package: what a mesh
consists of (meshes), how to talk to an API server (cluster), widgets (views).
"""

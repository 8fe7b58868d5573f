"""``mk.plan_identity`` creates the trust anchor and issuer that a mesh's charts require.

Keys are generated with the plan and written only to Secrets: no journal, log or output contains them.
"""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshkit.cluster.connect import Cluster
from meshkit.cluster.journal import Operation
from meshkit.errors import BadInput, UnsupportedByMesh
from meshkit.facts import Kind
from meshkit.kube import kinds as kube_kinds
from meshkit.kube import manifests
from meshkit.kube.steps import Step
from meshkit.meshes import registry
from meshkit.meshes.identity import CLOCK_SKEW, Identity, Pair
from meshkit.operations.change import plan_steps
from meshkit.operations.plan import Plan
from meshkit.operations.which_mesh import mesh_of

SECRET = Kind("v1", "Secret")
Key = ec.EllipticCurvePrivateKey


def plan_identity(
    cluster: Cluster,
    *,
    mesh: str | None = None,
    namespace: str = "",
    trust_domain: str = "cluster.local",
    anchor_days: int = 3650,
    issuer_days: int = 365,
) -> Plan:
    """Plan a new trust anchor and an issuer signed by it, ECDSA P-256, as Secrets in the mesh's namespace.

    The default lifetimes are those of Linkerd's guide: ten years and one year. The anchor's key stays in its
    Secret; anyone who can read it can issue identities, and it is needed only to sign the next issuer.
    ``namespace`` is by default the mesh's standard one. Raises ``UnsupportedByMesh`` for a mesh that creates
    its own identity, and ``BadInput`` if there is an identity already, or if the issuer would outlive its
    anchor.
    """
    require_lifetimes(anchor_days, issuer_days)
    mesh = mesh_of(cluster, mesh)
    identity = identity_of(mesh)
    namespace = namespace or registry.mesh(mesh).control_plane.home
    for name in identity.secrets:
        if cluster.api.get(SECRET, name, namespace) is not None:
            problem = f"the Secret {namespace}/{name} already exists."
            remedy = f"Running proxies depend on it. 'meshkit check --mesh {mesh}' shows when it expires."
            raise BadInput("identity", problem, remedy=remedy)
    anchor = made_anchor(identity, trust_domain, anchor_days)
    issuer = made_issuer(identity, anchor, trust_domain, issuer_days)
    steps = [*identity.create(namespace, anchor, issuer)]
    if cluster.api.get(kube_kinds.NAMESPACE, namespace) is None:
        steps.insert(0, Step(manifests.obj(kube_kinds.NAMESPACE, namespace)))
    return plan_steps(steps, cluster, Operation("identity", mesh, namespace), what="Identity")


def identity_of(mesh: str) -> Identity:
    """How a mesh keeps its trust anchor and issuer. Raises ``UnsupportedByMesh`` for a mesh without one."""
    row = registry.mesh(mesh)
    if row.identity is None:
        raise UnsupportedByMesh(
            "identity",
            f"the control plane of {row.title} makes its own trust anchor and issuer.",
            remedy=f"meshkit neither makes nor rotates them: see the documentation of {row.title}.",
        )
    return row.identity


def require_lifetimes(anchor_days: int, issuer_days: int) -> None:
    """Raise ``BadInput`` for an issuer that would outlive its anchor."""
    if not 0 < issuer_days <= anchor_days:
        raise BadInput(
            "issuer_days",
            f"{issuer_days} is not between 1 and the {anchor_days} days of the trust anchor.",
            remedy="An issuer is not valid after its anchor has expired.",
        )


def made_anchor(identity: Identity, trust_domain: str, days: int) -> Pair:
    """Generate a new trust anchor, valid for ``days``."""
    name, key = (
        identity.anchor_name.format(trust_domain=trust_domain),
        ec.generate_private_key(ec.SECP256R1()),
    )
    return Pair(_authority(name, key, name, key, days, path_length=1), _pem(key))


def made_issuer(identity: Identity, anchor: Pair, trust_domain: str, days: int) -> Pair:
    """Generate a new issuer signed by the anchor, valid for ``days`` but not longer than the anchor."""
    above = x509.load_pem_x509_certificate(anchor.certificate.encode())
    by_key = serialization.load_pem_private_key(anchor.key.encode(), password=None)
    assert isinstance(by_key, ec.EllipticCurvePrivateKey)
    remaining = above.not_valid_after_utc - dt.datetime.now(dt.UTC)
    (common_name,) = above.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name, key = (
        identity.issuer_name.format(trust_domain=trust_domain),
        ec.generate_private_key(ec.SECP256R1()),
    )
    by = str(common_name.value)
    certificate = _authority(
        name, key, by, by_key, min(days, remaining / dt.timedelta(days=1)), path_length=0
    )
    return Pair(certificate, _pem(key))


def _authority(name: str, key: Key, by: str, by_key: Key, days: float, *, path_length: int) -> str:
    """Return the PEM certificate of a CA; ``path_length`` is the number of CAs allowed below it."""
    now = dt.datetime.now(dt.UTC)
    usage = {use: use in ("key_cert_sign", "crl_sign") for use in _USES}
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(by))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(above, critical=False)
    )
    return builder.sign(by_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

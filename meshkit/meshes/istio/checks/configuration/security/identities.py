"""Checks of AuthorizationPolicies that ask for identities where callers have none for lack of mutual TLS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshkit import codes
from meshkit.facts import Finding, Object
from meshkit.kube.metadata import title
from meshkit.kube.pods import is_live
from meshkit.meshes.istio.checks.configuration.world import World
from meshkit.meshes.istio.meaning import authorization
from meshkit.meshes.istio.meaning.proxy import PROXY
from meshkit.meshes.model.inbound import All, Condition, Rule
from meshkit.meshes.model.pods import captured_ports, target_port
from meshkit.meshes.model.requests import text_holds

_ENFORCED = ("ALLOW", "DENY")


def check(world: World) -> Iterator[Finding]:
    """Find rules by identity at ports that take no mutual TLS."""
    if not any("DISABLE" in str(item.get("spec")) for item in world.registry.of("peerauthentications")):
        return
    for policy in world.registry.of("authorizationpolicies"):
        rules = _rules(world, policy)
        if any(_asks(rule) for rule in rules):
            yield from dict.fromkeys(_at_ports(world, policy, rules))


def lost(world: World, pod: Object, port: int, caller: str) -> str:
    """The first policy of a pod's port that names callers of a namespace by identity, or empty."""
    accounts = world.accounts.get(caller, frozenset(("default",)))
    identities = [PROXY.identity(caller, account) for account in sorted(accounts)]
    for namespace in dict.fromkeys((world.registry.root_namespace, pod["metadata"]["namespace"])):
        for policy in world.registry.of("authorizationpolicies", namespace):
            if not authorization.holds_for(policy, pod):
                continue
            for rule in _rules(world, policy):
                if _needs(rule) and _leaves_in(rule, port) and any(_names(rule, i) for i in identities):
                    return title(policy)
    return ""


def _rules(world: World, policy: Object) -> tuple[Rule, ...]:
    """The rules of a policy that is enforced."""
    action = (policy.get("spec") or {}).get("action", "ALLOW")
    if authorization.is_dry(policy) or action not in _ENFORCED:
        return ()
    return authorization.policy_of(policy, "http", authorization.trust_domains(world.registry)).rules


def _at_ports(world: World, policy: Object, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    namespace = policy["metadata"]["namespace"]
    at_home = namespace == world.registry.root_namespace
    pods = world.registry.of("pods", None if at_home else namespace)
    plain = {
        port
        for pod in pods
        if id(pod) in world.meshed and is_live(pod) and authorization.holds_for(policy, pod)
        for port in _ports(world, pod)
        if world.mode(pod, port) == "DISABLE"
    }
    for number, rule in enumerate(rules):
        ports = [port for port in sorted(plain) if _asks(rule) and _leaves_in(rule, port)]
        if ports:
            where = " and ".join(f"port {port}" for port in ports)
            action = (policy.get("spec") or {}).get("action", "ALLOW")
            message = (
                f"spec.rules[{number}] asks for an identity, and {where} of its pods takes no mutual TLS: "
            )
            yield codes.finding(
                codes.IDENTITY_WITHOUT_TLS, title(policy), f"{message}{_effect(rule, action)} there."
            )


def _ports(world: World, pod: Object) -> set[int]:
    offered = {
        target_port(pod, port)
        for service in world.services_selecting(pod)
        for port in service["spec"].get("ports") or ()
    }
    return {*captured_ports(pod, PROXY), *offered} - {None}  # type: ignore[return-value]


def _effect(rule: Rule, action: str) -> str:
    if _needs(rule):
        return "it lets nobody in" if action == "ALLOW" else "it refuses nobody"
    return "it lets in whom it leaves out" if action == "ALLOW" else "it refuses whom it leaves out"


def _asks(rule: Rule) -> bool:
    """Whether a rule holds otherwise for a caller without an identity than for one with an identity."""
    conditions = (*rule.when, *(each for source in rule.sources for each in source))
    return _needs(rule) or any(_by_identity(each) and each.inverted for each in conditions)


def _needs(rule: Rule) -> bool:
    """Whether a rule holds for callers with an identity only."""

    def needed(conditions: All) -> bool:
        return any(_by_identity(each) and not each.inverted for each in conditions)

    return needed(rule.when) or all(map(needed, rule.sources))


def _by_identity(condition: Condition) -> bool:
    return condition.subject in ("identity", "sni")


def _leaves_in(rule: Rule, port: int) -> bool:
    """Whether a rule may hold at a port."""

    def left_in(conditions: All) -> bool:
        asked = (each for each in conditions if each.subject == "port")
        return all((str(port) in {v.value for v in each.values}) != each.inverted for each in asked)

    return left_in(rule.when) and any(map(left_in, rule.operations))


def _names(rule: Rule, identity: str) -> bool:
    """Whether a rule may hold for a caller with an identity."""

    def named(conditions: Iterable[Condition]) -> bool:
        asked = (each for each in conditions if each.subject == "identity")
        return all(
            any(v.kind == "present" or text_holds(v, identity) for v in each.values) != each.inverted
            for each in asked
        )

    return named(rule.when) and any(map(named, rule.sources))

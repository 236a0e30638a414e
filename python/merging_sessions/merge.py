"""Merges two changes of one session: both began with `loaded`, this request made `mine` of it, others made `theirs`."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Union

from django.contrib.sessions.backends.base import UpdateError

Policy = Union[str, Callable[[Any, Any, Any], Any]]

NAMES = ('last', 'add', 'union', 'fail')


class SessionConflict(UpdateError):
    """Two requests changed a key whose policy is `fail`. Django's middleware answers 400, as to a deleted session."""


class _Missing:
    """The value of a key that is not there; None is a value."""


MISSING = _Missing()


def policy_of(key: str, policies: Mapping[str, Policy]) -> Policy:
    """`*` is the policy of each key without its own, except Django's own keys, which begin with `_`."""
    if key in policies:
        return policies[key]
    return 'last' if key.startswith('_') else policies.get('*', 'last')


def merge(
    loaded: Mapping[str, Any], mine: Mapping[str, Any], theirs: Mapping[str, Any], policies: Mapping[str, Policy]
) -> Dict[str, Any]:
    """Applies to `theirs` what `mine` changed since `loaded`. All three as their serializer returns them."""
    merged = {}
    for key in _keys(theirs, mine):
        value = _merged(
            loaded.get(key, MISSING), mine.get(key, MISSING), theirs.get(key, MISSING), key, policy_of(key, policies)
        )
        if value is not MISSING:
            merged[key] = value
    return merged


def _merged(loaded: Any, mine: Any, theirs: Any, key: str, policy: Policy) -> Any:
    if same(mine, loaded):
        return theirs
    if same(theirs, loaded):
        return mine
    if callable(policy):
        return policy(*(None if value is MISSING else value for value in (loaded, mine, theirs)))
    if isinstance(mine, dict) and isinstance(theirs, dict):
        before = loaded if isinstance(loaded, dict) else {}
        leaves = {}
        for leaf in _keys(theirs, mine):
            value = _merged(
                before.get(leaf, MISSING), mine.get(leaf, MISSING), theirs.get(leaf, MISSING), key, policy
            )
            if value is not MISSING:
                leaves[leaf] = value
        return leaves
    if policy == 'add' and _is_number(mine) and _is_number(theirs):
        if loaded is MISSING:
            return theirs + mine
        if _is_number(loaded):
            return theirs + (mine - loaded)
    if policy == 'union' and isinstance(mine, list) and isinstance(theirs, list):
        before = loaded if isinstance(loaded, list) else []
        removed = [item for item in before if not _holds(mine, item)]
        kept = [item for item in theirs if not _holds(removed, item)]
        for item in mine:
            if not _holds(before, item) and not _holds(kept, item):
                kept.append(item)
        return kept
    if policy == 'fail' and not same(mine, theirs):
        raise SessionConflict('Two requests changed %r of this session; its policy in SESSION_MERGE is "fail"' % key)
    return mine


def same(a: Any, b: Any) -> bool:
    """Equality as of JSON: 1, 1.0 and True differ, NaN is itself, and the order of a dictionary does not count."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return repr(a) == repr(b)
    return bool(a == b)


def _keys(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> Dict[Any, None]:
    return dict.fromkeys((*first, *second))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _holds(items: Any, wanted: Any) -> bool:
    return any(same(item, wanted) for item in items)

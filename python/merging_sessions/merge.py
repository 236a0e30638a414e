"""Merges two changes of one session: both began with `loaded`, this request made `mine` of it, others made `theirs`."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Dict, List, Mapping, Tuple, Union

from django.contrib.sessions.backends.base import UpdateError

Policy = Union[str, Callable[[Any, Any, Any], Any]]

NAMES = ('last', 'add', 'union', 'fail')

# Keys of django.contrib.auth, of SessionBase.set_expiry and of django.middleware.csrf. Each is one value; a policy that
# makes another value of it ends a login or refuses a form. A policy of the site does not apply to them.
DJANGO_KEYS = frozenset(
    (
        '_auth_user_id',
        '_auth_user_backend',
        '_auth_user_hash',
        '_session_expiry',
        '_csrftoken',
        '_password_reset_token',
        'testcookie',
    )
)

# Python neither parses nor prints an int with more digits (sys.int_info.default_max_str_digits).
END_OF_INTS = 10**4300


class SessionConflict(UpdateError):
    """Two requests changed a key whose policy is `fail`. Django's middleware answers 400, as to a deleted session."""


class _Missing:
    """The value of a key that is not there; None is a value."""


MISSING = _Missing()


def policy_of(key: Any, policies: Mapping[str, Policy]) -> Policy:
    """`*` is the policy of each key without its own, except of keys that begin with `_`, as Django's own keys do."""
    if key in DJANGO_KEYS:
        return 'last'
    if key in policies:
        return policies[key]
    return 'last' if isinstance(key, str) and key.startswith('_') else policies.get('*', 'last')


def without_fail(policies: Mapping[str, Policy]) -> Dict[str, Policy]:
    """The same policies, with `last` instead of `fail`."""
    return {key: 'last' if policy == 'fail' else policy for key, policy in policies.items()}


def merge(
    loaded: Mapping[str, Any], mine: Mapping[str, Any], theirs: Mapping[str, Any], policies: Mapping[str, Policy]
) -> Dict[str, Any]:
    """
    Applies to `theirs` what `mine` changed since `loaded`. All three as their serializer returns them.
    The result has the order of `theirs`; new keys follow.
    """
    merged = {}
    for key in _keys(theirs, mine):
        before, own, other = (state.get(key, MISSING) for state in (loaded, mine, theirs))
        if same(other, before):
            value = own
        else:
            value = merge_value(before, own, other, policy_of(key, policies), key)
        if value is not MISSING:
            merged[key] = value
    return merged


def merge_value(loaded: Any, mine: Any, theirs: Any, policy: Policy, key: Any) -> Any:
    """The merged value of one key; MISSING stands for a value that is not there. `key` is named in the error of `fail`."""
    # Objects first, without a comparison: to compare them at each level would take quadratic time. A function gets the
    # whole object.
    if not callable(policy) and _is_object(mine) and _is_object(theirs) and _is_object(loaded):
        return _merge_leaves(loaded, mine, theirs, policy, key)
    if same(mine, loaded):
        return theirs
    if same(theirs, loaded):
        return mine
    if mine is MISSING:
        return mine if policy != 'fail' or theirs is MISSING else _refuse(key)
    if callable(policy):
        # Without a value of theirs there is nothing to merge with.
        return mine if theirs is MISSING else policy(None if loaded is MISSING else loaded, mine, theirs)
    if _is_object(mine) and _is_object(theirs):
        return _merge_leaves({}, mine, theirs, policy, key)
    if policy == 'add':
        return _added(loaded, mine, theirs)
    if policy == 'union':
        return _united(loaded, mine, theirs)
    if policy == 'fail' and not same(mine, theirs):
        return _refuse(key)
    return mine


def _merge_leaves(loaded: Any, mine: Any, theirs: Any, policy: Policy, key: Any) -> Dict[str, Any]:
    leaves = {}
    for leaf in _keys(theirs, mine):
        value = merge_value(loaded.get(leaf, MISSING), mine.get(leaf, MISSING), theirs.get(leaf, MISSING), policy, key)
        if value is not MISSING:
            leaves[leaf] = value
    return leaves


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


def _refuse(key: Any) -> Any:
    raise SessionConflict('Two requests changed %r of this session; its policy in SESSION_MERGE is "fail"' % (key,))


def _added(loaded: Any, mine: Any, theirs: Any) -> Any:
    """The difference of mine on top of theirs; a missing number counts as 0. Other values than numbers: mine."""
    before = 0 if loaded is MISSING else loaded
    now = 0 if theirs is MISSING else theirs
    if not (_is_number(before) and _is_number(mine) and _is_number(now)):
        return mine
    try:
        total = now + (mine - before)
    except OverflowError:  # an int that no float can hold, and a float
        return mine
    return total if _is_number(total) else mine


def _united(loaded: Any, mine: Any, theirs: Any) -> Any:
    """
    The additions and removals of both; a missing list counts as empty. What both added is added once, what both removed
    is removed once; an item may be in a list more than once. Other values than lists: mine.
    """
    before = [] if loaded is MISSING else loaded
    now = [] if theirs is MISSING else theirs
    if type(before) is not list or type(mine) is not list or type(now) is not list:
        return mine
    try:
        at_first, here, there = (Counter(map(_identity, items)) for items in (before, mine, now))
    except TypeError:  # an item of a pickle that Python cannot hash
        return mine
    added, removed = here - at_first, at_first - here
    added -= there - at_first
    removed -= at_first - there
    kept: List[Any] = []
    for item in now:
        identity = _identity(item)
        if removed[identity] > 0:
            removed[identity] -= 1
        else:
            kept.append(item)
    for item in mine:
        identity = _identity(item)
        # Only the last occurrences are new ones.
        here[identity] -= 1
        if here[identity] < added[identity]:
            kept.append(item)
    return kept


def _identity(value: Any) -> Tuple[Any, Any]:
    """A hashable value, equal for values that are the `same`."""
    kind = type(value)
    if isinstance(value, dict):
        return kind, frozenset((key, _identity(member)) for key, member in value.items())
    if isinstance(value, (list, tuple)):
        return kind, tuple(map(_identity, value))
    if isinstance(value, (set, frozenset)):
        return kind, frozenset(value)
    return kind, repr(value) if isinstance(value, float) else value


def _keys(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> Dict[Any, None]:
    return dict.fromkeys((*first, *second))


def _is_object(value: Any) -> bool:
    """Whether it is an object of JSON, which merges by leaf. A pickle may also have dictionaries of other kinds."""
    return type(value) is dict and all(type(key) is str for key in value)


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < END_OF_INTS)

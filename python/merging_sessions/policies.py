"""Reads SESSION_MERGE."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, Mapping, Tuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .merge import DJANGO_KEYS, NAMES, Policy


def read_policies() -> Dict[str, Policy]:
    """
    The policy of each key that SESSION_MERGE names.

    Raises ImproperlyConfigured.
    """
    policies = _checked(_setting())
    return _imported(policies) if any('.' in policy for _, policy in policies) else dict(policies)


def check_setting() -> None:
    """
    Raises ImproperlyConfigured for a wrong SESSION_MERGE. Functions of the site are not imported yet.
    """
    _checked(_setting())


def _setting() -> Tuple[Tuple[Any, Any], ...]:
    setting = getattr(settings, 'SESSION_MERGE', None)
    if setting is None:
        return ()
    if not isinstance(setting, Mapping):
        raise ImproperlyConfigured(
            'SESSION_MERGE is of type %s; expected a dictionary, such as {"num_visits": "add"}' % type(setting).__name__
        )
    return tuple(setting.items())


def _checked(items: Tuple[Tuple[Any, Any], ...]) -> Tuple[Tuple[str, str], ...]:
    for key, policy in items:
        if not isinstance(key, str):
            raise ImproperlyConfigured('SESSION_MERGE has the key %r; expected a string' % (key,))
        if key in DJANGO_KEYS:
            raise ImproperlyConfigured(
                'SESSION_MERGE[%r]: a key of Django, whose value cannot be merged; remove it' % (key,)
            )
        if not isinstance(policy, str) or (policy not in NAMES and '.' not in policy):
            raise ImproperlyConfigured(
                'SESSION_MERGE[%r] is %r; expected %s or the dotted path of a function' % (key, policy, ', '.join(NAMES))
            )
    return items


@lru_cache(maxsize=8)
def _imported(items: Tuple[Tuple[str, str], ...]) -> Dict[str, Policy]:
    policies: Dict[str, Policy] = {}
    for key, policy in items:
        policies[key] = policy if policy in NAMES else _function(key, policy)
    return policies


def _function(key: str, path: str) -> Policy:
    try:
        function = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured('SESSION_MERGE[%r] cannot be imported: %s' % (key, error)) from error
    if not callable(function):
        raise ImproperlyConfigured('SESSION_MERGE[%r]: %s is not a function' % (key, path))
    return function  # type: ignore[no-any-return]

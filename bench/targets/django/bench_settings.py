"""LocalLibrary's settings with database connections that are kept, as a site that wants to be fast has them.

The layout is the tutorial's with what the service's layout shows too: messages, and a link that needs a permission.
"""

import os

from locallibrary.settings import *  # noqa: F403

DATABASES['default']['CONN_MAX_AGE'] = None  # noqa: F405
TEMPLATES[0]['DIRS'].append(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'templates'))  # noqa: F405

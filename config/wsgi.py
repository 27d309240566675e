"""The WSGI entry point: `granian --interface wsgi config.wsgi:application`, see docs/runbook.md."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django_application = get_wsgi_application()

from config.api.hot import HotFirst  # noqa: E402 - the apps come first

application = HotFirst(django_application)

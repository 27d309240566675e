"""Every setting, and the one place where the environment is read (documented in .env.example)."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

DEBUG: bool = env.bool("DEBUG", default=True)
SECRET_KEY: str = env.str("SECRET_KEY", default="development-only-secret-key" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set and DEBUG is off. Set SECRET_KEY to a long random text, for example the output of "
        '`python -c "import secrets; print(secrets.token_urlsafe(50))"`.'
    )
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# How the unification treats the server: memory for its sorts and hash joins, rows per committed range, how long a
# statement may wait for a lock, and for how long a migration that did not get one tries again.
UNIFICATION_WORK_MEM: str = env.str("UNIFICATION_WORK_MEM", default="256MB")
UNIFICATION_RANGE_ROWS: int = env.int("UNIFICATION_RANGE_ROWS", default=500_000)
UNIFICATION_LOCK_TIMEOUT_MS: int = env.int("UNIFICATION_LOCK_TIMEOUT_MS", default=60)
UNIFICATION_LOCK_PATIENCE_S: int = env.int("UNIFICATION_LOCK_PATIENCE_S", default=300)
# How long a batch may keep rows locked that others write to, and how many connections work on a step.
UNIFICATION_BATCH_MS: int = env.int("UNIFICATION_BATCH_MS", default=50)
UNIFICATION_WORKERS: int = env.int("UNIFICATION_WORKERS", default=1)
# When it lets others go first: a replica is so far behind, a session has waited so long for us, a vacuum of a table of ours
# has been running so long. 0: never.
UNIFICATION_REPLICA_LAG_S: float = env.float("UNIFICATION_REPLICA_LAG_S", default=10.0)
UNIFICATION_WAITER_MS: int = env.int("UNIFICATION_WAITER_MS", default=100)
UNIFICATION_VACUUM_S: int = env.int("UNIFICATION_VACUUM_S", default=600)
# For how long the backups of the old tables are kept: the date is set down when they are made.
UNIFICATION_BACKUP_DAYS: int = env.int("UNIFICATION_BACKUP_DAYS", default=90)
# The contract phase: days between two of its steps, days for which nobody may have used what a step drops (by default longer
# than a month: some come once a month), where the dumps of what is dropped go, and the directory of pg_dump and pg_restore where
# those on the path do not fit the server.
UNIFICATION_CONTRACT_DAYS: int = env.int("UNIFICATION_CONTRACT_DAYS", default=7)
UNIFICATION_SILENT_DAYS: int = env.int("UNIFICATION_SILENT_DAYS", default=5 * UNIFICATION_CONTRACT_DAYS)
UNIFICATION_DUMP_DIR: str = env.str("UNIFICATION_DUMP_DIR", default=str(BASE_DIR / ".local" / "dumps"))
PG_BIN: str = env.str("PG_BIN", default="")
# Whether the old world is still there: off when all steps of the contract phase are done.
LEGACY: bool = env.bool("LEGACY", default=True)

# Where the embedded PostgreSQL keeps its data when DATABASE_URL is unset.
EMBEDDED_POSTGRES_DIR: str = env.str("EMBEDDED_POSTGRES_DIR", default=str(BASE_DIR / ".local" / "postgres"))

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "accounts.apps.StaffAdminConfig",  # django.contrib.admin, with a site of our own
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "axes",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "accounts",
    "profiles",
    "orders",
    *(["legacy_customers"] if LEGACY else []),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.api.middleware.ApiMiddleware",  # what comes after is for pages alone
    "config.content_policy.ContentPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config/templates"],  # instead of unfold's, which comes before us
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]


def _database() -> dict[str, Any]:
    """The one database: DATABASE_URL's, else the embedded server's, which a connection starts."""
    if url := env.str("DATABASE_URL", default=""):
        parsed: dict[str, Any] = env.db_url_config(url)
        if "postgres" not in parsed["ENGINE"]:
            raise ImproperlyConfigured(
                f"DATABASE_URL names the engine {parsed['ENGINE']!r}; only PostgreSQL 14 and later is supported. "
                "Use postgres://user:password@host:port/name."
            )
        return {**parsed, "ENGINE": "config.postgresql", "CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=0)}
    return {"ENGINE": "config.postgresql", "NAME": "unified_profiles", "EMBEDDED": True, "CONN_MAX_AGE": 0}


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
LOGIN_REDIRECT_URL = "admin:index"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "accounts.validators.StorablePasswordValidator"},
]
# The first writes, and a login that another one made is then written anew: raw bcrypt as long as the old application reads
# it, too.
PASSWORD_HASHERS = [
    "accounts.hashers.LegacyBcryptHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
if not LEGACY:
    PASSWORD_HASHERS.reverse()

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "accounts.backends.AddressBackend",
]

# Counters of throttles. With several server processes give one that they share.
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}

EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://" if DEBUG else "smtp://localhost:25")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", default="shop@example.com")
EMAIL_TIMEOUT = 10
# Links in mails lead to its pages /reset-password and /verify-email, which pass what the links hold on to the API.
PUBLIC_URL: str = env.str("PUBLIC_URL", default="http://127.0.0.1:8000")
PASSWORD_RESET_TIMEOUT: int = 3600 * env.int("PASSWORD_RESET_HOURS", default=24)
EMAIL_VERIFICATION_HOURS: int = env.int("EMAIL_VERIFICATION_HOURS", default=72)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api.access.RolePermission"],
    "DEFAULT_PARSER_CLASSES": ["config.api.json.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["config.api.json.JSONRenderer", "config.api.json.ProblemRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.api.json.Negotiation",
    "DEFAULT_PAGINATION_CLASS": "config.api.pagination.CursorPages",
    "DEFAULT_SCHEMA_CLASS": "config.api.openapi.Schema",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.ScopedRateThrottle"],
    # Calls by scope and caller: a view names its scope in throttle_scope.
    "DEFAULT_THROTTLE_RATES": {
        "auth": env.str("THROTTLE_AUTH", default="60/min"),
        "track": env.str("THROTTLE_TRACK", default="30/min"),
        "search": env.str("THROTTLE_SEARCH", default="600/min"),
        "export": env.str("THROTTLE_EXPORT", default="60/min"),
    },
    "EXCEPTION_HANDLER": "config.api.handler.handle",
    "NUM_PROXIES": env.int("NUM_PROXIES", default=0),
    "COERCE_DECIMAL_TO_STRING": False,
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SIMPLE_JWT = {
    # A key of its own: long enough for the algorithm whatever SECRET_KEY is, and good for nothing else.
    "SIGNING_KEY": hashlib.sha256(f"tokens {SECRET_KEY}".encode()).hexdigest(),
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.int("ACCESS_TOKEN_MINUTES", default=15)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.int("REFRESH_TOKEN_DAYS", default=14)),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    # A new password ends every session that the old one began.
    "CHECK_REVOKE_TOKEN": True,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Unified Profiles",
    "DESCRIPTION": (
        "Customers, tills, orders and analytics of one shop, and the accounts behind them. "
        "Log in with POST /api/auth/token/, then press Authorize and paste the access token, or a till's key. "
        "Every error is a problem (RFC 9457): programs decide by its code, people read its detail. "
        "A whole day of calls and answers is in docs/api.md."
    ),
    "VERSION": "1",
    "TAGS": [
        {"name": "Accounts", "description": "Who calls: register, log in, passwords, addresses."},
        {"name": "Profiles", "description": "The person behind the account, with points, orders and history."},
        {"name": "Till", "description": "Sales, parked sales, refunds and receipts."},
        {"name": "Orders", "description": "What is ordered on the web, and how it stands."},
        {"name": "Analytics", "description": "Figures for managers."},
        {"name": "Customers (superseded)", "description": "The old customer service's calls, until their sunset."},
        {"name": "Till (superseded)", "description": "The tills' older paths, until their sunset."},
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["accounts.api.access.RolePermission"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api",
    # A PATCH may ask for a field, too: {points}.
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_NAME_OVERRIDES": {},
}

# The staff's workplace. Every file that it loads is ours.
UNFOLD = {
    "SITE_TITLE": "Unified Profiles",
    "SITE_HEADER": "Unified Profiles",
    "SITE_SYMBOL": "groups",
    "SITE_FAVICONS": [{"rel": "icon", "href": "data:,"}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [
        lambda request: static("accounts/workplace.css"),
        lambda request: static("profiles/pages.css"),
    ],
    "SCRIPTS": [lambda request: static("accounts/workplace.js")],
    "SIDEBAR": {"navigation": "config.sidebar.navigation"},
    "TABS": "profiles.admin.person.navigation",
    "DASHBOARD_CALLBACK": "profiles.admin.dashboard.dashboard",
    # A blue that text of either theme can be read on.
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(62.3% .214 259.815)",
            "600": "oklch(54.6% .245 262.881)",
            "700": "oklch(48.8% .243 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        },
    },
}

# Repeated failures lock an address together with the account that it tried, for a while, in the admin and in the API.
AXES_FAILURE_LIMIT: int = env.int("LOGIN_FAILURE_LIMIT", default=5)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("LOGIN_LOCKOUT_MINUTES", default=15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "accounts.lockout.username"
AXES_CLIENT_IP_CALLABLE = "accounts.lockout.client_ip"
AXES_LOCKOUT_CALLABLE = "accounts.lockout.page"
AXES_RESET_ON_SUCCESS = True
# Trying on while locked does not prolong it: a forgotten device would lock its owner out for ever.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
# Who logged in when and from where is kept nowhere, and no login by the API makes a session.
AXES_DISABLE_ACCESS_LOG = True

# From what age a customer may buy, and where it is another: province or state -> years.
LEGAL_AGE: int = env.int("LEGAL_AGE", default=19)
LEGAL_AGE_BY_PROVINCE: dict[str, int] = env.dict(
    "LEGAL_AGE_BY_PROVINCE", cast={"value": int}, default={"QC": 21, "Quebec": 21}
)
# What superseded calls announce: since when they are deprecated, and when they go.
API_DEPRECATED_ON: str = env.str("API_DEPRECATED_ON", default="2026-11-23")
API_SUNSET_ON: str = env.str("API_SUNSET_ON", default="2027-11-23")

LANGUAGE_CODE = "en-us"
TIME_ZONE: str = env.str("TIME_ZONE", default="UTC")
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"

if not DEBUG:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3600)

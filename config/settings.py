"""Every setting, and the one place where the environment is read (documented in .env.example)."""

from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

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

# How the unification treats the server: memory for its sorts and hash joins, and rows per committed range.
UNIFICATION_WORK_MEM: str = env.str("UNIFICATION_WORK_MEM", default="256MB")
UNIFICATION_RANGE_ROWS: int = env.int("UNIFICATION_RANGE_ROWS", default=500_000)
UNIFICATION_LOCK_TIMEOUT_MS: int = env.int("UNIFICATION_LOCK_TIMEOUT_MS", default=500)

# Where the embedded PostgreSQL keeps its data when DATABASE_URL is unset.
EMBEDDED_POSTGRES_DIR: str = env.str("EMBEDDED_POSTGRES_DIR", default=str(BASE_DIR / ".local" / "postgres"))

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "accounts",
    "profiles",
    "orders",
    "legacy_customers",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
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
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# The first writes: raw bcrypt, which the old application reads too. It stays first until the contract phase.
PASSWORD_HASHERS = [
    "accounts.hashers.LegacyBcryptHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]

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

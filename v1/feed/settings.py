"""What both processes read from their environment, secrets hidden in texts, and where logs go. Errors: `InvalidSettings`."""

from ..settings import PREFIX, WITHOUT_FILES, InvalidSettings, Settings, WordList, split_words
from ..settings.checks import check_host_and_port, check_key
from ..settings.layers import list_written, name_file_setting
from ..settings.logs import configure_logs
from ..settings.redaction import find_secret_parts, find_secrets, hide_passwords, redact

__all__ = [
    "PREFIX",
    "WITHOUT_FILES",
    "InvalidSettings",
    "Settings",
    "WordList",
    "check_host_and_port",
    "check_key",
    "configure_logs",
    "find_secret_parts",
    "find_secrets",
    "hide_passwords",
    "list_written",
    "name_file_setting",
    "redact",
    "split_words",
]

"""Text from elsewhere, made safe for a terminal and a message: one line, and nothing in it that commands."""

import unicodedata


def plain(text: object) -> str:
    """Without control characters, line ends and marks that turn the direction of writing; a space stands for each."""
    return "".join(" " if unicodedata.category(sign) in _COMMANDS else sign for sign in str(text))


_COMMANDS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

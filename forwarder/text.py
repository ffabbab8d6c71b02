"""Text that has to stay on one line, and within a length, wherever it is shown."""

import re

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def visible(text: str, *, but: str = "") -> str:
    r"""Write each control character, and each half of a surrogate pair, as the escape that JSON has for it.

    What could forge a line or drive a terminal: C0, DEL, C1, and the two separators of Unicode that viewers take for
    line ends. Inside a string of JSON the text means the same afterwards. The characters *but* are left as they are.
    """
    if text.isprintable():  # so nearly every text is, and this is quick; of what is to be escaped nothing is printable
        return text
    return _CONTROLS.sub(lambda found: found[0] if found[0] in but else f"\\u{ord(found[0]):04x}", text)


def cut(text: str, longest: int) -> str:
    """Cut *text* to at most *longest* bytes of UTF-8, between two characters."""
    if len(text) * 4 <= longest:
        return text
    return text.encode(errors="replace")[:longest].decode(errors="ignore")

"""The code blocks of a page in Markdown, fenced or indented."""

import re
import textwrap

FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")


def code_blocks(text: str) -> list[str]:
    """The blocks, indented ones moved to the margin and after the fenced ones."""
    indented = [match[0] for match in INDENTED.finditer(FENCED.sub("", text))]
    return [match[1] for match in FENCED.finditer(text)] + list(map(textwrap.dedent, indented))


def without_comment(line: str) -> str:
    """A line of code without its comment, which is in the reader's language."""
    return re.sub(r"(^|\s+)#.*", "", line).rstrip()


def code_lines(text: str) -> list[str]:
    """Lines of the code blocks, in their order, comments out."""
    lines = (without_comment(line).strip() for block in code_blocks(text) for line in block.splitlines())
    return [line for line in lines if line]

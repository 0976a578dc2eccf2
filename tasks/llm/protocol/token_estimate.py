"""How many tokens a text is, near enough to plan with and quick enough to ask for every row.

An estimate, not a tokeniser: OpenAI's rule of thumb of 4 characters a token for Latin text
(https://help.openai.com/en/articles/4936856), and one token a character for Chinese, Japanese
and Korean, which is on the safe side of what current vocabularies do. Bills are settled with
the counts that the API reports; this one is for reserving before a call is sent.
"""


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text; 0 only for the empty text."""
    if text.isascii():
        return -(-len(text) // 4)
    return estimate_tokens_from_lengths(len(text), len(text.encode(errors="surrogatepass")))


def estimate_tokens_from_lengths(chars: int, utf8_bytes: int) -> int:
    """Estimate the tokens of a text from its two lengths, so that a column needs no text at all.

    A CJK character has 3 bytes in UTF-8 and an ASCII one has 1, so half of the bytes beyond one
    per character count the CJK characters: tokens = cjk + (chars - cjk) / 4, which is
    (3 * utf8_bytes - chars) / 8, rounded up. Plain arithmetic: integer arrays work as well.
    Accented Latin (2 bytes) comes out slightly high, Cyrillic and Greek at 0.6 a character.
    """
    return -((chars - 3 * utf8_bytes) // 8)

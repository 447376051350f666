//! Small YAML documents on which readers differ, as data and at random.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Each is a place where some reader sees another value than `PyYAML`, or reads what `PyYAML` refuses.
#[rustfmt::skip]
const KNOWN: &[&str] = &[
    // `?` and `:` within braces and brackets.
    "[a?b]", "{u: http://x?y=1}", "[?a]", "[? a]", "{?a: b}", "{? a : b}", "[:x]", "[::]", "{:x: y}", "{a:x}", "{a:,b}", "[a:b]", "[a:]", "{a: :b}",
    "[a? b]", "[-]", "[-, b]", "[- a]", "{a: -}", "{-: a}", "[a, , b]", "[,]", "{,}", "{a}", "{a, b: c}", "{a: b, }", "[a: b]", "[a: b, c]", "[? a : b, c]", "[a\n: b]",
    "{\"a\":1}", "{\"a\":b}", "{a:1}", "{'a':'b'}", "[\"a\":b]", "{a: [b, {c: d}]}", "{a: b}}", "[a]]", "[a}", "{a]", "]", "}", "a: ]",
    // Tabs.
    "a:\tb", "a: \tb", "a: b\t", "a: b\t# c", "a: b \t# c", "\ta: b", "a:\n\tb: c", "a:\n  \tb: c", "-\ta", "- a\t", "- \ta", "a:\t", "a:\t\n  b: c", "a: 'b'\t", "a: 'b\tc'", "a: \"b\tc\"", "a: b\tc",
    "[a,\tb]", "{a:\tb}", "{\ta: b}", "a: |\t\n  b", "a: |\n  b\tc", "a: |\n  \tb", "a: >\n  b\n  \tc", "a: b\n\t", "a: b\n\t\n", "# c\tx\na: b", "a: b\n\t# c", "a: b # c\t", "---\ta", "a: &x\tb", "a: !!str\tb",
    "a: 'x\t\n  y'", "a: \"x\\\t\n  y\"", "a: \"x \t\n \t y\"",
    // Merge keys.
    "x: &d {a: 1}\ny: &e {a: 2}\nz:\n  <<: *d\n  <<: *e", "x: &d {a: 1}\ny: &e {a: 2}\nz: {<<: [*d, *e]}", "x: &d {a: 1}\nz: {a: 3, <<: *d}", "x: &d {a: 1}\n<<: *d", "<<: {a: 1}\na: 2",
    "z: {<<: a}", "z: {<<: [a]}", "z: {<<: }", "z: {<<: {a: 1, a: 2}}", "z: <<", "z: [<<]", "z: {\"<<\": 1}", "z: {<<: {<<: {a: 1}}}", "<<", "z: {<<: [{a: 1}, {a: 2}], <<: {a: 3}}", "z: {!!str <<: {a: 1}}",
    // Anchors and aliases.
    "a: &x 1\nb: &x 2", "a: &x 1\nb: *x", "a: &é 1", "a: *é", "a: &x", "a: &x\nb: *x", "a: *y", "a: &x [*x]", "a: &x {b: *x}", "&a a: b\nc: *a", "*a : b", "a: &x b\n*x : c", "a: &x-1_y b", "a: &x. b", "a: & b", "a: &x&y b", "a: [&x b, *x]", "[&x b, *x,]", "{a: &x b, c: *x}", "a: *x b",
    // Tags.
    "a: !secret b", "a: !!int \"5\"", "a: !!int 5", "a: !!int b", "a: !!int 0x1F", "a: !!int 017", "a: !!int \"\"", "a: !!str 5", "a: !!str", "a: !!str null", "a: !!bool \"yes\"", "a: !!bool \"YeS\"", "a: !!bool 1", "a: !!float \"5\"", "a: !!float 5", "a: !!float 1.5", "a: !!null \"\"", "a: !!null x",
    "a: !!timestamp 2024-01-01", "a: !!seq [b]", "a: !!map {b: c}", "a: !!seq {b: c}", "a: !!map [b]", "a: !!set {b}", "a: !!omap [b: c]", "a: !!binary aGk=", "a: ! b", "a: ! \"5\"", "a: ! [b]", "a: !<tag:yaml.org,2002:int> 5", "a: !<!x> 5", "a: !x!y 5", "!!map {a: b}", "- !!str\n- b",
    "a: !b", "a: [!b c]", "!!str a: b", "!!int 1: b", "a: !Ref b", "a: !!python/none x", "a: !!str &x 5\nb: *x", "a: &x !!str 5\nb: *x", "a: !!value x", "a: !!merge x", "a: !", "a: !!int [5]",
    // Numbers, dates and words.
    "a: =", "=: a", "a: [=]", "a: \"=\"", "a: 12:30", "a: 1:60", "a: 190:20:30", "a: 01:30", "a: 190:20:30.15", "a: 017", "a: 09", "a: 0o17", "a: 0x1F", "a: 0b11", "a: 0b", "a: 0b_", "a: 0x_", "a: 0_", "a: 1_000", "a: 1__0", "a: _1", "a: +1", "a: -1", "a: +-1", "a: 1e3", "a: 1.e3", "a: 1.5e3", "a: 1.5e+3", "a: .5", "a: +.5", "a: -.5", "a: .", "a: ..", "a: ._5", "a: 1.", "a: 1._", "a: -1.5_0", "a: .inf", "a: -.inf", "a: +.Inf", "a: .nan", "a: +.nan", "a: .iNF",
    "a: 99999999999999999999", "a: -9223372036854775808", "a: 9223372036854775807", "a: 0xFFFFFFFFFFFFFFFFFF", "a: -0", "a: -0.0", "a: 1.0e+400", "a: 123.", "a: 0.1",
    "a: yes", "a: Yes", "a: yEs", "a: y", "a: n", "a: on", "a: OFF", "a: True", "a: tRUE", "a: ~", "a: null", "a: Null", "a: nULL", "a:", "a: ''", "~: a", "null: a", ": a", "? \n: a", "yes: a",
    "a: 2024-01-01", "a: 2024-1-1", "a: 2024-13-45", "a: 2024-02-30", "a: 2023-02-29", "a: 2024-02-29", "a: 0000-01-01", "a: 2024-01-01True", "a: 2024-01-01 x", "a: 2024-01-01T", "a: 2024-01-01T10:00:00Z", "a: 2024-01-01 10:00:00 +01:00", "a: 2024-01-01T25:00:00Z", "a: 2024-01-01T1:00:00.123456789", "a: 2024-01-01t10:00:00 -99", "a: 2024-01-01T10:00:00+23:59", "a: 2024-01-01T10:00:00+23:60", "a: 2024-01-01T10:00", "2024-13-45: a", "a: '2024-13-45'",
    // Quotes and escapes.
    "a: \"\\ud83d\\ude00\"", "a: \"\\ud83d\"", "a: \"\\U0001f600\"", "a: \"\\U00110000\"", "a: \"\\x4\"", "a: \"\\x41\"", "a: \"\\q\"", "a: \"\\/\"", "a: \"\\N\\L\\P\\_\\e\\0\\a\\b\\v\\f\\r\\t\\n\"", "a: \"x\\\n  y\"", "a: \"x\n  y\"", "a: \"x\n\n  y\"", "a: \"x\\  \n  y\"", "a: 'x\\ \n  y'", "a: 'it''s'", "a: 'x\n\n\n y'", "a: 'x", "a: \"x", "a: 'x' y", "a: \"x\n---\ny\"", "a: 'x\n...\ny'", "a: \"x\n--- y\"", "a: \"x\n ---\n y\"", "a: 'x'b: c", "'a': b", "'a' : b", "\"a\"\n: b", "'a\nb': c", "a: ''''", "a: \"\\\"", "a: \"\\\n\n x\"", "a: \"\n x\"", "a: \" \n x \n \"",
    // Characters.
    "a: x\u{85}y", "a: x\u{2028}y", "# c\u{2029}b: d", "a: 'x\u{85} y'", "a: \u{7f}", "a: \u{1}", "a: \"\u{80}\"", "a: \u{a0}b", "a: \u{fffe}", "\u{feff}a: b", "a: \u{feff}b", "é: [ü, {ß: ø}]", "? é\n: ö", "a: é # ü\nb: c", "é: b\n c: d", "- é: 1\n  ü: 2", "😀: |\n  é\n  ü\n", "a: \rb: c", "a: b\rc: d", "a: b\r\nc: d", "a: b\n\rc: d",
    // Block scalars.
    "a: |\n  b", "a: |\n  b\n", "a: |\n  b\n\n", "a: |-\n  b\n\n", "a: |+\n  b\n\n", "a: |+\n\n", "a: |\n\n  b", "a: |\n    \n  b", "a: |2\n   b", "a: |1\n b", "a: |0\n b", "a: |10\n b", "a: |+1\n b\n\n", "a: |1+\n b\n\n", "a: | # c\n b", "a: |# c\n b", "a: | b", "a: >\n  b\n  c\n\n  d\n   e\n  f\n", "a: >-\n  b\n\n\n  c", "a: >+\n b\n\n\n", "a: |\nb: c", "a: |\n b\nc: d", "a: |\n  b\n c: d", "- |\n a\n- b", "a: >\n\n b", "|\n a", ">\n a\n b", "a: |\n  b\n # c\nd: e", "a: |\n  # b\n", "[|\n a]", "a: |\n  b\n \n  c\n", "a: |+\n  b", "a: |-\n  b\n  ", "a: |\n b\n\n   \n", "--- |\na\n...\n", "--- >\n%a\n",
    // Structure.
    "", "# c", "---", "---\n", "--- a", "---\na: b\n---\nc: d", "a: b\n...\n", "a: b\n...\nc: d", "...", "a: b\n--- \n", "%YAML 1.1\n---\na: b", "%YAML 1.2\n---\na: b", "%YAML 2.0\n---\na: b", "%YAML 1.1\na: b", "%TAG ! x\n---\na: b", "%x\na: b", "a: %x", "%YAML 1.1\n%YAML 1.1\n---\na", "a: b: c", "a: b:", "a:b", "a:b: c", "a : b", "a\nb: c", "a: b\n c: d", "a:\n  b: c\n d: e", "a:\n- b\n- c", "a:\n- b\nc: d", "- a\n- b\n c", "- a\n b: c", "- - a\n  - b", "- a: b\n  c: d", "- a: b\n c: d", "a: - b", "- a\nb: c", "a: b\n- c", "? a\n: b", "? [a]\n: b", "? {a: b}\n: c", "[a]: b", "{a: b}: c", "? a", "? a\n? b", "?a: b", "-a: b", "- -a", "a: -b", "a: - ", "a: ?b", "a: ? b", "a: :b", "a: 'b' # c", "a: b #c", "a: b#c", "a: #b", "#a: b", "a: b\n# c\n  # d\ne: f", "a: b\n  c\n  d", "a: b\n\n  c", "a: b\n # x\n  c", "a:\n  b\n c\nd: e", "a: @b", "a: `b", "@a: b", "a: b\nb: c\na: d", "a: {b: c, b: d}", "a: >x", "a: \\", "a: \"b\" \"c\"", "a:  b", "a:\n\n\n  b", "  a: b", " a: b\nc: d", "a: &x\n  b: c\nd: *x", "a: !!map\n  b: c", "a: !!seq\n- b", "a: &x\n- b\nd: *x", "a: {\n b: c\n}", "a: {\nb: c\n}", "a: [\nb\n]", "a: [b\n, c]", "a: [b c\n d, e]", "a: [b # c\n]", "a: [b #c, d\n]", "a: [b# c]", "{\n}", "[\n---\n]", "[a\n--- b]", "a: b\n\n---\n\n", "a: 1\n\n\n", "- \n- ", "-", "- # c", "a: !!str\nb: c", "- &x\n- *x", "a: {b: }", "a: {b: , c: }", "a: {? b}", "a: {? b: c}", "a: {b: [c}", "x: [a, b]: c", "a: [b]c", "a: 'b'c", "a: \"b\"c: d", "a: *b:", "[[[]]]", "{{}: a}", "{[]: a}", "{a: {}, b: []}",
];

/// Parts of which random documents are made.
#[rustfmt::skip]
const PARTS: &[&str] = &[
    "a", "b", "c", "key", "1", "0x1F", "1:30", "yes", "null", "~", "2024-01-01", "1.5", "é", "=", "<<", "http://x?y=1", ":x", "?a", "-b", "a#b", "x y",
    ": ", ": ", ": ", ":", " :", "- ", "- ", "-", "? ", "?", ", ", ",", "[", "]", "{", "}", "&x ", "&y ", "*x", "*y", "!!str ", "!!int ", "!!map ", "! ", "!z ", "'", "\"", "''", "\"\"", "'q'", "\"d\"", "\\", "\\n", "#", " # c", "|", ">", "|-", ">+", "|2", "%", "@", "`", "---", "...",
    "\n", "\n", "\n", "\n", "\n  ", "\n  ", "\n  ", "\n    ", "\n ", "\n\n", "\n- ", "\n  - ", "\r\n", " ", " ", "  ", "\t", "\t\n", "<<: *x", "<<: {a: 1}", "a: ", "b: ", "a: &x {b: 1}", "\n<<: ",
];

/// Lines of which random documents are made that are more often valid.
#[rustfmt::skip]
const LINES: &[&str] = &[
    "a: b\n", "b: [x, y]\n", "c: {d: e, f: g}\n", "a:\n", "b:\n", "  c: d\n", "  e: |\n", "    text\n", "\n", "  - x\n", "- y\n", "  - k: v\n", "    w: 'z'\n", "# c\n", "  # c\n", "d: \"q\n", "   r\"\n", "e: >-\n", "  f\n", "  g: &x {h: 1}\n", "i: *x\n", "  <<: *x\n", "j: k\n  l\n", "? m\n: n\n", "o: 1:30\n", "p: !!int \"7\"\n", "q: [r,\n", "  s]\n", "t: é # ü\n", "u: http://x?y\n", "v: {w: x?y}\n", "x: y\t\n", "  z: ~\r\n",
];

/// All documents that are written down here.
pub(crate) fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().copied()
}

/// So many random ones of each kind, the same each time.
pub(crate) fn random(count: usize) -> impl Iterator<Item = String> {
    let parts =
        |from: &'static [&'static str], most| prop::collection::vec(prop::sample::select(from), 1..most);
    let kinds = [parts(PARTS, 14), parts(LINES, 8)];
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..2 * count).map(move |at| kinds[at % 2].new_tree(&mut runner).expect("a document").current().concat())
}

/// Whether a document that `PyYAML` reads is refused here because nothing could be made of its value.
pub(crate) fn is_refused_on_purpose(why: &str) -> bool {
    const ON_PURPOSE: [&str; 7] = [
        "is not supported",                  // `!!set` and the like
        "is a directive",                    // `%TAG`
        "contains it",                       // a value within itself
        "cannot stand in YAML as it is",     // line breaks of YAML 1.1
        "half a character",                  // which cannot be stored
        "stands before a text that is none", // `!!int` before what Python's int() reads and YAML's does not
        "nested more than",
    ];
    ON_PURPOSE.iter().any(|reason| why.contains(reason))
}

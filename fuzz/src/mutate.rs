//! Inputs at random, for the run without a fuzzer: those of the corpus, cut, joined and with wrong bytes in them.

/// Xorshift: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below a limit; 0 where there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0 % limit).unwrap_or_default()
    }
}

/// What readers of texts stumble over.
const WORDS: [&str; 24] = [
    "\n",
    "\r\n",
    "  ",
    "\t",
    ": ",
    "- ",
    "#",
    "'",
    "\"",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "|\n",
    ">-\n",
    "!!str ",
    "0",
    "-1",
    "9223372036854775808",
    "\u{2028}",
    "\u{1b}[2K",
];

/// One of a corpus, changed in a few places; at most `limit` bytes of it.
pub fn mutated(corpus: &[Vec<u8>], random: &mut Random, limit: usize) -> Vec<u8> {
    let mut bytes = corpus.get(random.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        let (from, to) = range(&bytes, random);
        match random.below(6) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.insert(from, u8::try_from(random.below(256)).unwrap_or_default()),
            2 => drop(bytes.splice(from..from, WORDS[random.below(WORDS.len())].bytes())),
            3 => {
                let copied = bytes[from..to].to_vec();
                let at = random.below(bytes.len() + 1);
                bytes.splice(at..at, copied);
            }
            4 => {
                let other = corpus.get(random.below(corpus.len())).map_or(&[][..], |other| other);
                let (begin, end) = range(other, random);
                bytes.splice(from..to, other[begin..end].iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes.truncate(limit);
    bytes
}

fn range(bytes: &[u8], random: &mut Random) -> (usize, usize) {
    let from = random.below(bytes.len() + 1);
    (from, from + random.below((bytes.len() - from).min(64) + 1))
}

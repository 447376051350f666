//! What is left of that which nobody made durable.

/// A disk writes whole sectors of so many bytes.
const SECTOR: usize = 512;

/// What survives of that which is not durable.
pub(crate) trait Survive {
    /// How many of so many changes of names.
    fn names(&mut self, of: usize) -> usize;
    /// How much of a write of so many bytes.
    fn bytes(&mut self, of: usize) -> usize;
}

/// All or nothing of the names and of the bytes.
pub(crate) struct Flat {
    pub(crate) names: bool,
    pub(crate) bytes: bool,
}

impl Survive for Flat {
    fn names(&mut self, of: usize) -> usize {
        if self.names { of } else { 0 }
    }

    fn bytes(&mut self, of: usize) -> usize {
        if self.bytes { of } else { 0 }
    }
}

/// Any part, as random numbers that a seed repeats say (splitmix64): writes whole, torn or not at all.
pub(crate) struct Sample(pub(crate) u64);

impl Sample {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 8).unwrap_or_default()
    }
}

impl Survive for Sample {
    fn names(&mut self, of: usize) -> usize {
        self.next() % (of + 1)
    }

    fn bytes(&mut self, of: usize) -> usize {
        match self.next() % 5 {
            0 | 1 => of,
            2 => self.next() % (of / SECTOR + 1) * SECTOR,
            _ => 0,
        }
    }
}

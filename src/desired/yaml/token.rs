//! The smallest parts of a YAML text.

use std::borrow::Cow;
use std::ops::Range;

/// One token and its place.
#[derive(Debug)]
pub(super) struct Token<'s> {
    pub(super) kind: TokenKind<'s>,
    pub(super) span: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenKind<'s> {
    StreamEnd,
    YamlDirective,
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    FlowEntry,
    BlockEntry,
    Key,
    Value,
    Alias(&'s str),
    Anchor(&'s str),
    Tag(Tag<'s>),
    Scalar { text: Cow<'s, str>, plain: bool },
}

/// A tag as it is written: `!!int` has the handle `!!` and the suffix `int`; `!<…>` and a lone `!` have no handle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag<'s> {
    pub(super) handle: Option<&'s str>,
    pub(super) suffix: Cow<'s, str>,
}

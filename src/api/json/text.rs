//! The bytes of strings, eight at a time.

use std::str::Utf8Error;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
/// What is looked through at once for bytes that are seldom there.
const PART: usize = 512;

/// Whether `body`, which is to be UTF-8, holds control characters. Python writes none, and then a string need not be
/// searched for them. What is ASCII need not be decoded: both looks together take 1,400 instructions of a node, where the
/// library takes 1,800 for the decoding alone.
pub(super) fn has_controls(body: &[u8]) -> Result<bool, Utf8Error> {
    let mut found = false;
    // Where what is not ASCII begins. No character lies across the border to what is.
    let mut begun = None;
    for (index, part) in body.chunks(PART).enumerate() {
        let both = |(least, all): (u8, u8), byte: &u8| (least.min(*byte), all | byte);
        let (least, all) = part.iter().fold((u8::MAX, 0), both);
        found |= least < 0x20;
        if !all.is_ascii() {
            begun = begun.or(Some(index * PART));
        } else if let Some(begun) = begun.take() {
            std::str::from_utf8(&body[begun..index * PART])?;
        }
    }
    std::str::from_utf8(&body[begun.unwrap_or(body.len())..])?;
    Ok(found)
}

/// The lowest bit that is set marks the first of these eight bytes that is a quote or a backslash; higher ones may be
/// wrong for the borrow.
fn ends(word: u64) -> u64 {
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5C);
    // Neither differs from the word in the bits that are looked at.
    (quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES)) & !word & HIGHS
}

/// How long a string is that ends near and has neither an escape nor a control character, as nearly all have. Most end
/// before memchr begins.
#[inline]
pub(super) fn near_end<const NEAR: usize>(rest: &[u8]) -> Option<usize> {
    let near: &[u8; NEAR] = rest.first_chunk()?;
    for (index, word) in near.as_chunks().0.iter().enumerate() {
        let found = ends(u64::from_le_bytes(*word));
        if found != 0 {
            let at = index * 8 + found.trailing_zeros() as usize / 8;
            return (near[at] == b'"').then_some(at);
        }
    }
    None
}

/// How many bytes at the start of `rest` stand for themselves inside a string.
pub(super) fn plain_length(rest: &[u8]) -> usize {
    let mut left = rest;
    while let Some((eight, behind)) = left.split_first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let found = ends(word) | (word.wrapping_sub(ONES * 0x20) & !word & HIGHS);
        if found != 0 {
            return rest.len() - left.len() + found.trailing_zeros() as usize / 8;
        }
        left = behind;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    rest.len() - left.len() + left.iter().position(special).unwrap_or(left.len())
}

/// How many bytes at the start of both are the same.
#[inline]
pub(super) fn common(one: &[u8], other: &[u8]) -> usize {
    let most = one.len().min(other.len());
    let (mut left, mut with) = (&one[..most], &other[..most]);
    // Mostly much is the same: a few registers of it at a time.
    while let (Some((a, behind)), Some((b, with_behind))) = (
        left.split_first_chunk::<32>(),
        with.split_first_chunk::<32>(),
    ) && a == b
    {
        (left, with) = (behind, with_behind);
    }
    while let (Some((a, behind)), Some((b, with_behind))) =
        (left.split_first_chunk(), with.split_first_chunk())
    {
        let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differ != 0 {
            return most - left.len() + differ.trailing_zeros() as usize / 8;
        }
        (left, with) = (behind, with_behind);
    }
    let differs = left.iter().zip(with).position(|(a, b)| a != b);
    most - left.len() + differs.unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn control_characters_and_what_is_no_text_are_found_wherever_they_are(
            body in "([a-z ]{0,700}|é|\u{1f}){0,6}",
            broken in prop::option::of((any::<prop::sample::Index>(), 0x80_u8..)),
        ) {
            let mut body = body.into_bytes();
            if let (Some((at, byte)), false) = (broken, body.is_empty()) {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let wanted = std::str::from_utf8(&body).map(|text| text.contains('\u{1f}'));
            prop_assert_eq!(has_controls(&body).ok(), wanted.ok());
        }

        #[test]
        fn how_much_is_the_same(one in "[ab]{0,150}", other in "[ab]{0,3}", at in 0_usize..150) {
            let mut changed = one.clone();
            changed.truncate(at);
            changed.push_str(&other);
            let both = one.bytes().zip(changed.bytes());
            let wanted = both.take_while(|(one, other)| one == other).count();
            prop_assert_eq!(common(one.as_bytes(), changed.as_bytes()), wanted);
        }
    }
}
